"""The database: connections, transactions, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlmodel import Session

from registry.connection import open_engine
from registry.driver_errors import readable_errors
from registry.location import RegistryLocation
from registry.migrating import bring_up_to_date


class Database:
    """An open registry database, of the layout that this dv knows."""

    def __init__(self, location: RegistryLocation) -> None:
        """Open the database at `location`, make it where there is none, and migrate it where it is old.

        Raises AddressError, NewerRegistryError and RegistryUnavailableError.
        """
        self.location = location
        self._engine = open_engine(location)
        try:
            with readable_errors(location):
                location.folder.mkdir(parents=True, exist_ok=True)
                bring_up_to_date(self._engine, location)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one moment of the database."""
        with readable_errors(self.location), Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session that no other writer runs beside. Commits at the end, or rolls back on an error."""
        writes = self._engine.execution_options(writes=True)
        with readable_errors(self.location), Session(writes) as session, session.begin():
            yield session

"""The registry read-only, for lists and completion: on SQLite no SQLAlchemy is imported, and nothing is created."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from registry import kept_steps, queries
from registry.blobs import Blobs
from registry.driver_errors import PATIENCE_S, readable_errors
from registry.location import RegistryLocation, reading_alone
from registry.migrating import REVISIONS, stored_revision
from registry.queries import POSTGRESQL, SQLITE, Dialect, Execute
from registry.records import Adapter, Kind, Labels, Query

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Catalog:
    """What there is, at one moment. Open with `Catalog.open()`."""

    def __init__(self, execute: Execute, dialect: Dialect, folder: Path) -> None:
        self._execute = execute
        self._dialect = dialect
        self._blobs = Blobs(folder / "adapters")

    @classmethod
    @contextmanager
    def open(cls, folder: Path | None = None) -> Iterator[Catalog]:
        """Open the registry in `folder` (default: `home()`) to look at; where there is none, there is nothing.

        An old one is migrated first. Raises AddressError, NewerRegistryError and RegistryUnavailableError.
        """
        location = RegistryLocation.of(folder)
        if location.url is not None:
            with _on_server(location) as connection:
                from registry.connection import executor_of

                yield cls(executor_of(connection), POSTGRESQL, location.folder)
            return
        with readable_errors(location):
            opened = _opened(location)
        if opened is None:
            yield cls(lambda sql, values: (), SQLITE, location.folder)
            return
        with closing(opened):
            opened.execute("BEGIN")
            yield cls(_executor_of(opened, location), SQLITE, location.folder)

    def adapters(self, query: Query) -> list[tuple[Adapter, Labels]]:
        """Give the adapters that fit a query with their labels, in its order."""
        return queries.adapters(self._execute, self._dialect, query)

    def count(self, query: Query) -> int:
        """Count the adapters that fit a query."""
        return queries.count(self._execute, self._dialect, query)

    def names(self, kind: Kind | None = None, start: str = "") -> list[str]:
        """Give the adapters' names that begin with `start`, in the order of their coming."""
        return queries.names(self._execute, kind, start)

    def versions(self, name: str, kind: Kind | None = None) -> list[int]:
        """Give the numbers of a name's versions, in order; none where the name is of the other kind."""
        return queries.versions(self._execute, kind, name)

    def kept_steps(self, name: str, version: int | None = None, kind: Kind | None = None) -> list[int]:
        """Give the steps that were kept of a version, or of the newest one, in order; none of one that isn't there."""
        there = self.versions(name, kind)
        wanted = there[-1:] if version is None else [version]
        return [step for one in wanted if one in there for step, _ in kept_steps.folders(self._blobs.folder(name, one))]

    def bases(self) -> list[str]:
        """Give the names of the bases that were added."""
        return queries.bases(self._execute)


@contextmanager
def _on_server(location: RegistryLocation) -> Iterator[Connection]:
    from registry.database import Database

    with closing(Database(location)) as database, database.reading() as session:
        yield session.connection()


def _opened(location: RegistryLocation) -> sqlite3.Connection | None:
    """A connection to a database of the newest layout; None where there is no database."""
    try:
        location.file.stat()
    except FileNotFoundError:
        return None
    connection = _connect(location)
    try:
        if stored_revision(_executor_of(connection, location), SQLITE, location) == REVISIONS[-1]:
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    from registry.database import Database

    Database(location).close()
    return _connect(location)


def _connect(location: RegistryLocation) -> sqlite3.Connection:
    parameters = urlencode(reading_alone(location.file) or {"mode": "rw"})
    address = f"file:{quote(str(location.file))}?{parameters}"
    return sqlite3.connect(address, uri=True, timeout=PATIENCE_S, isolation_level=None)


def _executor_of(connection: sqlite3.Connection, location: RegistryLocation) -> Execute:
    def execute(sql: str, values: Sequence[object]) -> Iterable[Sequence[Any]]:
        with readable_errors(location):
            return connection.execute(sql, tuple(values)).fetchall()

    return execute

"""The registry to look at only, for lists and tab presses: on SQLite no SQLAlchemy is imported, and nothing is made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from registry import looking
from registry.looking import POSTGRESQL, SQLITE, Ask, Dialect
from registry.migrating import REVISIONS, stored_revision
from registry.places import Place
from registry.records import Adapter, Kind, Labels, Query
from registry.troubles import PATIENCE_S, clear_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Catalog:
    """What there is, at one moment. Open with `Catalog.open()`."""

    def __init__(self, ask: Ask, dialect: Dialect) -> None:
        self._ask = ask
        self._dialect = dialect

    @classmethod
    @contextmanager
    def open(cls, folder: Path | None = None) -> Iterator[Catalog]:
        """Open the registry in `folder` (default: `home()`) to look at; where there is none, there is nothing.

        An old one is migrated first. Raises AddressError, NewerRegistryError and RegistryUnavailableError.
        """
        place = Place.of(folder)
        if place.url is not None:
            with _on_server(place) as connection:
                from registry.connection import asking

                yield cls(asking(connection), POSTGRESQL)
            return
        with clear_errors(place):
            opened = _opened(place)
        if opened is None:
            yield cls(lambda sql, values: (), SQLITE)
            return
        with closing(opened):
            opened.execute("BEGIN")
            yield cls(_asking(opened, place), SQLITE)

    def adapters(self, query: Query) -> list[tuple[Adapter, Labels]]:
        """Give the adapters that fit a query with their labels, in its order."""
        return looking.adapters(self._ask, self._dialect, query)

    def count(self, query: Query) -> int:
        """Count the adapters that fit a query."""
        return looking.count(self._ask, self._dialect, query)

    def names(self, kind: Kind | None = None, start: str = "") -> list[str]:
        """Give the adapters' names that begin with `start`, in the order of their coming."""
        return looking.names(self._ask, kind, start)

    def versions(self, name: str, kind: Kind | None = None) -> list[int]:
        """Give the numbers of a name's versions, in order; none where the name is of the other kind."""
        return looking.versions(self._ask, kind, name)

    def bases(self) -> list[str]:
        """Give the names of the bases that were added."""
        return looking.bases(self._ask)


@contextmanager
def _on_server(place: Place) -> Iterator[Connection]:
    from registry.database import Database

    with closing(Database(place)) as database, database.reading() as session:
        yield session.connection()


def _opened(place: Place) -> sqlite3.Connection | None:
    """A connection to a database of the newest layout; None where there is no database."""
    try:
        place.file.stat()
    except FileNotFoundError:
        return None
    connection = _connect(place)
    try:
        if stored_revision(_asking(connection, place), SQLITE, place) == REVISIONS[-1]:
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    from registry.database import Database

    Database(place).close()
    return _connect(place)


def _connect(place: Place) -> sqlite3.Connection:
    # Not `mode=ro`: whoever opens the database first after a crash has to put its log in order.
    address = f"file:{quote(str(place.file))}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=PATIENCE_S, isolation_level=None)


def _asking(connection: sqlite3.Connection, place: Place) -> Ask:
    def ask(sql: str, values: Sequence[object]) -> Iterable[Sequence[Any]]:
        with clear_errors(place):
            return connection.execute(sql, tuple(values)).fetchall()

    return ask

"""A registry whose database is lost: the damaged one is set aside, and every row comes back from the folders."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel, select

from registry import documents
from registry.blobs import Blobs
from registry.connection import flaws_of, open_file
from registry.database import Database
from registry.errors import DamagedRegistryError, RegistryError
from registry.places import Place
from registry.records import Adapter
from registry.store import Registry
from registry.tables import BaseTableRow, CompositionRow, NameRow, RunRow

_Row = TypeVar("_Row", bound=SQLModel)
_FROM_THE_DATABASE_ALONE = (NameRow, BaseTableRow, CompositionRow, RunRow)
"""What no folder tells of: taken from a damaged database as far as it can still be read."""


@dataclass(frozen=True)
class Rebuilt:
    """What came of a rebuild: where the damaged database is now, if it was, the adapters whose rows came back,
    and what is wrong with folders whose rows didn't."""

    set_aside: Path | None
    restored: tuple[Adapter, ...]
    refused: tuple[str, ...]


def damage_of(folder: Path | None = None) -> str | None:
    """Say what is wrong with the database of the registry in `folder`, None where all is well or there is none.

    Raises RegistryUnavailableError where that can't be found out, and NewerRegistryError.
    """
    place = Place.of(folder)
    if place.url is None and not place.file.exists():
        return None
    try:
        with closing(Database(place)) as database, database.reading() as session:
            flaws = flaws_of(session.connection())
    except DamagedRegistryError as error:
        return str(error)
    return f"The registry {place} is damaged: {'; '.join(flaws)}." if flaws else None


def rebuild(folder: Path | None = None) -> Rebuilt:
    """Set a damaged database aside, and insert the row of every whole adapter that has none.

    One on a server can't be set aside: where it is damaged, that is an error.

    No other dv may work with the registry meanwhile, if it is damaged. Raises RegistryUnavailableError,
    NewerRegistryError.
    """
    place = Place.of(folder)
    folder = place.folder
    aside = None
    if (damage := damage_of(folder)) is not None:
        if place.url is not None:
            raise DamagedRegistryError(damage)
        aside = _set_aside(place.file)
        with closing(Database(place)) as database:
            _salvage(aside, database)
    restored: list[Adapter] = []
    refused = []
    with Registry.open(folder) as registry:
        known = {adapter.id for adapter in registry.adapters()}
        for own in _oldest_first(Blobs(folder / "adapters")):
            try:
                adapter = registry.restore(own)
            except RegistryError as error:
                refused.append(str(error))
                continue
            if adapter.id not in known:
                restored.append(adapter)
    return Rebuilt(aside, tuple(restored), tuple(refused))


def _set_aside(file: Path) -> Path:
    aside = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    # The log first: one that is left behind alone would be taken for the next database's.
    for ending in ("-wal", "-shm", ""):
        part = file.with_name(file.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside


def _oldest_first(blobs: Blobs) -> list[Path]:
    """Rows come back in the order in which they came."""

    def moment(folder: Path) -> str:
        try:
            return documents.read(folder)[0].ended_at
        except (RegistryError, OSError):
            return ""

    return sorted((blobs.folder(name, version) for name, version in blobs.numbers()), key=moment)


def _salvage(damaged: Path, database: Database) -> None:
    for table in _FROM_THE_DATABASE_ALONE:
        with database.writing() as session:
            for row in _readable(damaged, table):
                session.merge(row)


def _readable(damaged: Path, table: type[_Row]) -> Sequence[_Row]:
    """The rows of one table, as many as can be read before the damage."""
    return list(_rows(damaged, table))


def _rows(damaged: Path, table: type[_Row]) -> Iterator[_Row]:
    engine = open_file(damaged)
    try:
        with Session(engine) as session:
            for row in session.exec(select(table)):
                yield table.model_validate(row.model_dump())
    # ValueError: a value that is none of its column's.
    except (DBAPIError, ValueError):
        return
    finally:
        engine.dispose()

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
from registry.connection import flaws_of, open_engine
from registry.database import Database
from registry.errors import DamagedRegistryError, RegistryError
from registry.places import DATABASE, home
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


def damage_of(folder: Path) -> str | None:
    """Say what is wrong with the database in `folder`, None where all is well or there is none.

    Raises RegistryUnavailableError where that can't be found out, and NewerRegistryError.
    """
    file = folder / DATABASE
    if not file.exists():
        return None
    try:
        with closing(Database(file)) as database, database.reading() as session:
            flaws = flaws_of(session.connection())
    except DamagedRegistryError as error:
        return str(error)
    return f"The registry {file} is damaged: {'; '.join(flaws)}." if flaws else None


def rebuild(folder: Path | None = None) -> Rebuilt:
    """Set a damaged database aside, and insert the row of every whole adapter that has none.

    No other dv may work with the registry meanwhile, if it is damaged. Raises RegistryUnavailableError,
    NewerRegistryError.
    """
    folder = home() if folder is None else folder.absolute()
    aside = _set_aside(folder / DATABASE) if damage_of(folder) is not None else None
    if aside is not None:
        with closing(Database(folder / DATABASE)) as database:
            _salvage(aside, database)
    restored: list[Adapter] = []
    refused = []
    with Registry.open(folder) as registry:
        known = {adapter.id for adapter in registry.adapters()}
        for place in _oldest_first(Blobs(folder / "adapters")):
            try:
                adapter = registry.restore(place)
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
    engine = open_engine(damaged)
    try:
        with Session(engine) as session:
            for row in session.exec(select(table)):
                yield table.model_validate(row.model_dump())
    # ValueError: a value that is none of its column's.
    except (DBAPIError, ValueError):
        return
    finally:
        engine.dispose()

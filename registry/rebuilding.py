"""A registry whose database is lost: the damaged one is set aside, and every row comes back from the folders."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel, select

from registry import documents
from registry.blobs import Blobs, link_or_copy, sync_folder
from registry.compositions import store
from registry.connection import flaws_of, open_file
from registry.database import Database
from registry.driver_errors import readable_errors
from registry.errors import DamagedRegistryError, RegistryError
from registry.location import DATABASE, RegistryLocation
from registry.records import Adapter
from registry.store import Registry
from registry.tables import BaseTableRow, CompositionRow, NameRow, RunRow

_Row = TypeVar("_Row", bound=SQLModel)
_FROM_THE_DATABASE_ALONE = (NameRow, BaseTableRow, CompositionRow, RunRow)
"""What no folder tells of: taken from a damaged database as far as it can still be read."""
_ENDINGS = ("", "-wal", "-shm")
"""A database's file, its log, and the log's index."""


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
    location = RegistryLocation.of(folder)
    if location.url is None and not location.file.exists():
        return None
    try:
        with closing(Database(location)) as database, database.reading() as session:
            flaws = flaws_of(session.connection())
    except DamagedRegistryError as error:
        return str(error)
    return f"The registry {location} is damaged: {'; '.join(flaws)}." if flaws else None


def rebuild(folder: Path | None = None) -> Rebuilt:
    """Set a damaged database aside, and insert the row of every whole adapter that has none.

    One on a server can't be set aside: where it is damaged, that is an error.

    No other dv may work with the registry meanwhile, if it is damaged. Raises RegistryUnavailableError,
    NewerRegistryError.
    """
    location = RegistryLocation.of(folder)
    damage = damage_of(folder)
    if damage is None:
        with Registry.open(folder) as registry:
            return Rebuilt(None, *_restored(registry))
    if location.url is not None:
        raise DamagedRegistryError(damage)
    # Beside the damaged one until it has every row. A rebuild that is killed is begun anew: had the registry the
    # names' counters and not yet the rows, their folders would look like what killed processes left.
    new = replace(location, name=f"{DATABASE}.new")
    with readable_errors(location):
        for ending in _ENDINGS:
            _beside(new.file, ending).unlink(missing_ok=True)
        database = Database(new)
        with Registry(location.folder, database) as registry:
            _salvage(location.file, database)
            restored, refused = _restored(registry)
        return Rebuilt(_exchange(location.file, new.file), restored, refused)


def _restored(registry: Registry) -> tuple[tuple[Adapter, ...], tuple[str, ...]]:
    """The adapters whose rows came back, and what is wrong with folders whose rows didn't."""
    known = {adapter.id for adapter in registry.adapters()}
    restored: list[Adapter] = []
    refused: list[str] = []
    for own in _oldest_first(Blobs(registry.folder / "adapters")):
        try:
            adapter = registry.restore(own)
        except (RegistryError, ValueError) as error:
            refused.append(str(error))
            continue
        if adapter.id not in known:
            restored.append(adapter)
    return tuple(restored), tuple(refused)


def _exchange(file: Path, new: Path) -> Path:
    """Put `new` in the place of the damaged `file`, which is never missing, and give where that is now."""
    with closing(sqlite3.connect(new)) as database:
        # All of it in one file, or an error.
        database.execute("PRAGMA journal_mode = DELETE")
    aside = _free(file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))
    link_or_copy(file, aside)
    # The log before its database goes: left behind alone, it would be taken for the next one's.
    for ending in _ENDINGS[1:]:
        if _beside(file, ending).exists():
            _beside(file, ending).rename(_beside(aside, ending))
    new.replace(file)
    sync_folder(file.parent)
    return aside


def _free(file: Path) -> Path:
    """`file`, or the first of `file-2`, `file-3` and so on that isn't there."""
    names = chain([file], (_beside(file, f"-{number}") for number in count(2)))
    return next(name for name in names if not name.exists())


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


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
                if isinstance(row, CompositionRow):
                    store(session, row)
                else:
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

"""A name for all versions of another: new folders first, then the rows, then the old folders go.

Killed at any moment, every version is whole under one name or the other: before the rows change, the new
folders are mere copies (links, where the disk has them); afterwards the old ones are.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlmodel import Session, col, select

from registry import documents, rows
from registry.blobs import DOCUMENT, Blobs, files_in, link_or_copy, sync
from registry.database import Database
from registry.driver_errors import readable_errors
from registry.errors import DamagedAdapterError, NameTakenError, UnknownNameError
from registry.names import AdapterSpec, check_name, check_new_name
from registry.records import Adapter
from registry.removing import remove_without_row
from registry.tables import AdapterRow, NameRow


def rename(database: Database, blobs: Blobs, old: str, new: str) -> list[Adapter]:
    """Give every version of `old` the name `new`; numbers stay, and those of `old` aren't used again.

    Raises InvalidNameError, UnknownNameError, NameTakenError, and DamagedAdapterError for files that are gone.
    """
    old, new = check_name(old), check_new_name(new)
    with readable_errors(database.location):
        with database.writing() as session:
            _reserve(session, blobs, old, new)
        staged = blobs.new_staging()
        try:
            before, after = _move(database, blobs, staged, old, new)
        finally:
            blobs.discard(staged)
        for adapter in before:
            remove_without_row(database, blobs, old, adapter.version)
    return after


def _reserve(session: Session, blobs: Blobs, old: str, new: str) -> None:
    """Note that the numbers of `new` belong to `old`: so a rename that was killed can be repeated, and one
    that is regretted undone."""
    if old == new:
        raise NameTakenError(f"{old!r} is its name already. Give another one.")
    versions = rows.listed(session, None, old)
    if not versions:
        rows.found(session, AdapterSpec(old), None)
    source, target = session.get_one(NameRow, old), session.get(NameRow, new)
    if rows.listed(session, None, new):
        raise NameTakenError(f"There is an adapter named {new!r} already. Choose another name.")
    known = 0 if target is None else target.last_version
    foreign = [number for name, number in blobs.numbers() if name == new and number > known]
    if foreign and not _same_folder(blobs, old, new):
        raise NameTakenError(
            f"{blobs.root / new} holds files that this registry doesn't know. Look with: dv doctor. Or choose another "
            "name."
        )
    if target is not None and target.moved_to != old and versions[0].version <= known:
        raise NameTakenError(
            f"{new!r} was a name before, with numbers up to {known}, and no number is used twice. Choose another name."
        )
    if _same_folder(blobs, old, new):
        raise NameTakenError(f"This disk doesn't tell {new!r} from {old!r}. Choose a name that differs in more.")
    target = target or NameRow(name=new, kind=source.kind, last_version=0)
    target.kind = source.kind
    target.last_version = max(target.last_version, source.last_version)
    target.moved_to = old
    session.add(target)


def _move(database: Database, blobs: Blobs, staged: Path, old: str, new: str) -> tuple[list[Adapter], list[Adapter]]:
    placed: list[Path] = []
    try:
        with database.writing() as session:
            before = rows.listed(session, None, old)
            target = session.get_one(NameRow, new)
            if not before:
                raise UnknownNameError(f"{old!r} was renamed or removed meanwhile. See: dv list")
            if target.moved_to != old or rows.listed(session, None, new):
                raise NameTakenError(f"{new!r} was taken meanwhile. Choose another name.")
            after = [replace(adapter, name=new) for adapter in before]
            for was, now in zip(before, after, strict=True):
                _copy(blobs.folder(old, was.version), staged / str(now.version), now)
            sync(staged)
            for now in after:
                # What lies there has no row: a rename that was killed left it.
                blobs.remove(new, now.version)
                placed.append(blobs.move_in(staged / str(now.version), new, now.version))
            _rename_rows(session, old, new, after)
    except BaseException:
        # Ctrl-C may come just after the rows changed; then the files must stay.
        for folder in placed:
            remove_without_row(database, blobs, new, int(folder.name))
        raise
    return before, after


def _copy(source: Path, target: Path, adapter: Adapter) -> None:
    if not (source / DOCUMENT).exists():
        raise DamagedAdapterError(f"The files in {source} are gone, so nothing was renamed. See: dv verify")
    try:
        files = files_in(source)
    except ValueError as error:
        raise DamagedAdapterError(f"{error}, so nothing was renamed.") from error
    for file in files:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if copy != target / DOCUMENT:
            link_or_copy(file, copy)
    shutil.copyfile(source / DOCUMENT, target / DOCUMENT)
    documents.readdress(target, adapter.name, adapter.version)


def _rename_rows(session: Session, old: str, new: str, after: Sequence[Adapter]) -> None:
    # The counters may have moved on since they were read: a learning run takes its number when it publishes.
    source, target = session.get_one(NameRow, old), session.get_one(NameRow, new)
    target.last_version = max(target.last_version, *(adapter.version for adapter in after))
    target.moved_to, source.moved_to = None, new
    session.add_all([source, target])
    session.flush()
    for row in session.exec(select(AdapterRow).where(col(AdapterRow.name) == old)):
        row.name = new
        session.add(row)


def _same_folder(blobs: Blobs, one: str, other: str) -> bool:
    first, second = blobs.root / one, blobs.root / other
    return first.exists() and second.exists() and first.samefile(second)

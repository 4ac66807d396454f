"""What the registry asks and tells the table of bases, inside a transaction of the caller's."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from registry.errors import InvalidNameError, NameTakenError, UnknownNameError
from registry.names import EMBEDDED, check_name
from registry.records import BaseRow
from registry.tables import BaseTableRow


def listed(session: Session) -> list[BaseRow]:
    return sorted((_base(row) for row in session.exec(select(BaseTableRow))), key=lambda base: base.name)


def found(session: Session, name: str) -> BaseRow:
    return _base(_row(session, name))


def check_new(session: Session, name: str) -> str:
    name = check_name(name)
    if name == EMBEDDED:
        raise NameTakenError(f"{EMBEDDED!r} is the base that dv brings along. Choose another name.")
    if session.get(BaseTableRow, name) is not None:
        raise NameTakenError(f"There is a base named {name!r} already. Choose another name, or remove that one first.")
    return name


def add(session: Session, base: BaseRow) -> BaseRow:
    name = check_new(session, base.name)
    row = BaseTableRow(
        name=name,
        model=_storable(base.model),
        image_encoder=None if base.image_encoder is None else _storable(base.image_encoder),
        motion_module=None if base.motion_module is None else _storable(base.motion_module),
        fingerprint=base.fingerprint,
        lineage=base.lineage,
    )
    session.add(row)
    session.flush()
    return _base(row)


def tuned(name: str, folder: Path, fingerprint: str, lineage: dict[str, Any]) -> BaseRow:
    """A base that was made here: all its parts are in one folder."""
    return BaseRow(
        name=name, model=str(folder), image_encoder=None, fingerprint=fingerprint, is_default=False, lineage=lineage
    )


def use(session: Session, name: str) -> None:
    chosen = None if name == EMBEDDED else _row(session, name)
    for row in session.exec(select(BaseTableRow)):
        row.is_default = row is chosen
        session.add(row)


def remove(session: Session, name: str) -> None:
    session.delete(_row(session, name))


def store_fingerprint(session: Session, name: str, fingerprint: str) -> None:
    row = _row(session, name)
    row.fingerprint = fingerprint
    session.add(row)


def _row(session: Session, name: str) -> BaseTableRow:
    name = check_name(name)
    row = session.get(BaseTableRow, name)
    if row is not None:
        return row
    if name == EMBEDDED:
        raise UnknownNameError(f"{EMBEDDED!r} comes with dv; it isn't one of the bases that were added.")
    known = [EMBEDDED, *session.exec(select(BaseTableRow.name))]
    close = get_close_matches(name, known) or known
    raise UnknownNameError(f"There is no base named {name!r}. Did you mean {' or '.join(close)}?")


def _base(row: BaseTableRow) -> BaseRow:
    return BaseRow(**row.model_dump())


def _storable(location: str) -> str:
    try:
        location.encode()
    except UnicodeEncodeError:
        raise InvalidNameError(
            f"{location!r} has bytes that aren't text, so it can't be stored. Rename the folder, or link to it."
        ) from None
    return location

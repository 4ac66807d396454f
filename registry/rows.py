"""What the registry asks and tells the adapters' tables, inside a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches

from sqlmodel import Session, col, select

from registry.errors import NameTakenError, UnknownNameError
from registry.names import AdapterSpec
from registry.records import Adapter, Kind, Source
from registry.tables import AdapterRow, NameRow, SourceRow

SHOWN = 8
"""How many names a message lists."""


def last_version(session: Session, name: str, kind: Kind) -> int:
    """Give the last number that `name` has used, 0 for a new name. Raises NameTakenError.

    A name whose versions are all removed may change its kind; its numbers go on.
    """
    row = session.get(NameRow, name)
    if row is None:
        return 0
    if row.kind != kind and _versions(session, name):
        raise NameTakenError(f"{name!r} is the name of a {row.kind}. Choose another name for this {kind}.")
    return row.last_version


def reserve(session: Session, name: str, kind: Kind, version: int) -> None:
    """Note that `name` is a `kind`, and that it has used the number `version`."""
    row = session.get(NameRow, name) or NameRow(name=name, kind=kind, last_version=0)
    row.kind = kind
    row.last_version = max(row.last_version, version)
    row.moved_to = None
    session.add(row)
    session.flush()


def insert(session: Session, adapter: Adapter, sources: Sequence[Source]) -> None:
    row = AdapterRow(**asdict(adapter))
    session.add(row)
    session.flush()
    assert row.id is not None
    session.add_all(SourceRow(adapter_id=row.id, **asdict(source)) for source in sources)
    session.flush()


def delete(session: Session, adapters: Sequence[Adapter]) -> None:
    """Delete rows and, through the foreign key, those of their sources. Raises UnknownNameError."""
    for adapter in adapters:
        session.delete(row_of(session, adapter))


def listed(session: Session, kind: Kind | None, name: str | None) -> list[Adapter]:
    """Give adapters, newest last: by version for one name, else in the order of their coming."""
    query = select(AdapterRow)
    if kind is not None:
        query = query.where(AdapterRow.kind == kind)
    if name is not None:
        query = query.where(AdapterRow.name == name).order_by(col(AdapterRow.version))
    return [_adapter(row) for row in session.exec(query.order_by(col(AdapterRow.id)))]


def sources_of(session: Session, adapter: Adapter) -> list[Source]:
    owner = row_of(session, adapter).id
    query = select(SourceRow).where(SourceRow.adapter_id == owner).order_by(col(SourceRow.id))
    return [Source(**row.model_dump(exclude={"id", "adapter_id"})) for row in session.exec(query)]


def found(session: Session, spec: AdapterSpec, kind: Kind | None) -> Adapter:
    """Give the adapter that `spec` means. Raises UnknownNameError."""
    versions = listed(session, None, spec.name)
    if not versions:
        raise UnknownNameError(_unknown(session, spec.name, kind))
    if kind is not None and versions[0].kind != kind:
        raise UnknownNameError(f"{spec.name!r} is a {versions[0].kind}, not a {kind}. Give the name of a {kind}.")
    if spec.version is None:
        return versions[-1]
    for adapter in versions:
        if adapter.version == spec.version:
            return adapter
    there = ", ".join(adapter.id for adapter in versions)
    raise UnknownNameError(f"There is no {spec}. Of {spec.name!r} there is: {there}.")


def with_hash(session: Session, file_hash: str, kind: Kind) -> Adapter | None:
    """Give the newest adapter of this kind whose files have this hash."""
    query = select(AdapterRow).where(AdapterRow.file_hash == file_hash, AdapterRow.kind == kind)
    row = session.exec(query.order_by(col(AdapterRow.id).desc())).first()
    return None if row is None else _adapter(row)


def _unknown(session: Session, name: str, kind: Kind | None) -> str:
    sort = kind or "adapter"
    query = select(AdapterRow.name).distinct()
    if kind is not None:
        query = query.where(AdapterRow.kind == kind)
    names = sorted(session.exec(query))
    if not names:
        return f"There is no {sort} named {name!r}: none has been learnt yet."
    by_folded = {known.casefold(): known for known in names}
    close = [by_folded[match] for match in get_close_matches(name.casefold(), list(by_folded))]
    if close:
        return f"There is no {sort} named {name!r}. Did you mean {' or '.join(close)}?"
    some = ", ".join(names[:SHOWN]) + (", and others" if len(names) > SHOWN else "")
    return f"There is no {sort} named {name!r}. There is: {some}."


def _versions(session: Session, name: str) -> list[int]:
    return list(session.exec(select(AdapterRow.version).where(AdapterRow.name == name)))


def row_of(session: Session, adapter: Adapter) -> AdapterRow:
    """Give an adapter's row. Raises UnknownNameError."""
    query = select(AdapterRow).where(AdapterRow.name == adapter.name, AdapterRow.version == adapter.version)
    row = session.exec(query).first()
    if row is None:
        raise UnknownNameError(f"{adapter.id} is no longer in the registry: it was removed meanwhile.")
    return row


def _adapter(row: AdapterRow) -> Adapter:
    return Adapter(**row.model_dump(exclude={"id", "note"}))

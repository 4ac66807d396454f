"""Taking in what `packing` wrote: nothing unless all is right, each adapter once however often it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlmodel import Session, select

from registry import bases, documents, labels, packing, rows
from registry.blobs import Blobs, is_counted, sync
from registry.compositions import store
from registry.database import Database
from registry.errors import PackError, UnknownNameError
from registry.names import AdapterSpec, check_new_name
from registry.packing import Counter, Manifest, Packed
from registry.publishing import publish_staged
from registry.records import Adapter, Labels
from registry.tables import BaseTableRow, CompositionRow, NameRow


@dataclass(frozen=True)
class Imported:
    """An adapter that was taken in. `was` is its id in the file; `is_new` is false where it was here already."""

    adapter: Adapter
    was: str
    is_new: bool


def import_pack(
    database: Database, blobs: Blobs, file: Path, only: Sequence[AdapterSpec], name: str | None
) -> list[Imported]:
    """Take in a pack; what it raises is said at `Registry.import_from`."""
    name = None if name is None else check_new_name(name)
    manifest = packing.read_manifest(file)
    chosen = _chosen(file, manifest, only)
    if name is not None and len({each.name for each in chosen}) > 1:
        raise PackError(f"{file} has adapters of several names, so they can't all be {name!r}. Say which you want.")
    with packing.unpacked(blobs, file, lambda each: each in chosen) as staged:
        read = [(folder, *_read(file, each, folder)) for each, folder in staged]
        read.sort(key=lambda each: (each[1].name, each[1].version))
        _refuse_other_kinds(database, [replace(adapter, name=name or adapter.name) for _, adapter, _ in read])
        done = [
            _import_adapter(database, blobs, folder, adapter, name or adapter.name, attached)
            for folder, adapter, attached in read
        ]
    if not only and name is None:
        _import_records(database, manifest)
    return done


def whole(session: Session) -> Manifest:
    """Give what a registry has beside its adapters and videos."""
    names = sorted(session.exec(select(NameRow)), key=lambda row: row.name)
    counters = [Counter(**row.model_dump(exclude={"moved_to"})) for row in names]
    return Manifest(adapters=(), bases=tuple(bases.listed(session)), counters=tuple(counters))


def _chosen(file: Path, manifest: Manifest, only: Sequence[AdapterSpec]) -> list[Packed]:
    if not only:
        return list(manifest.adapters)
    found = []
    for spec in only:
        meant = [e for e in manifest.adapters if e.name == spec.name and spec.version in (None, e.version)]
        if not meant:
            there = ", ".join(each.id for each in manifest.adapters[: rows.SHOWN]) or "no adapter"
            raise UnknownNameError(f"There is no {spec} in {file}. There is: {there}.")
        found += meant
    return found


def _read(file: Path, packed: Packed, folder: Path) -> tuple[Adapter, Labels]:
    adapter, _ = documents.read(folder)
    if (adapter.id, adapter.file_hash) != (packed.id, packed.file_hash):
        raise PackError(f"{file} is damaged: it calls {packed.id} what calls itself {adapter.id}.")
    if adapter.size != sum(size for name, size in packed.files.items() if is_counted(name)):
        raise PackError(f"{file} is damaged: the files of {packed.id} haven't the bytes that it says they have.")
    return adapter, labels.read(folder)


def _refuse_other_kinds(database: Database, adapters: Sequence[Adapter]) -> None:
    with database.reading() as session:
        for adapter in adapters:
            rows.last_version(session, adapter.name, adapter.kind)


def _import_adapter(
    database: Database, blobs: Blobs, staged: Path, packed: Adapter, name: str, attached: Labels
) -> Imported:
    with database.writing() as session:
        known = rows.listed(session, None, name)
        last = max(rows.last_version(session, name, packed.kind), blobs.newest_version(name))
        same = [each for each in known if _alike(each, packed)]
        exact = [each for each in same if each.version == packed.version]
        # Two runs may give the same adapter but for its number: a free number is no reason to leave one out.
        if exact or (same and packed.version <= last):
            return Imported((exact or same)[0], packed.id, is_new=False)
        version = packed.version if packed.version > last else last + 1
        rows.reserve(session, name, packed.kind, version)
    adapter, sources = documents.readdress(staged, name, version)
    sync(staged)
    publish_staged(database, blobs, staged, adapter, sources, attached)
    return Imported(adapter, packed.id, is_new=True)


def _alike(one: Adapter, other: Adapter) -> bool:
    return replace(one, name=other.name, version=other.version) == other


def _import_records(database: Database, manifest: Manifest) -> None:
    """Bases and videos that aren't here yet, and the counters of names."""
    with database.writing() as session:
        chosen = any(base.is_default for base in bases.listed(session))
        for base in manifest.bases:
            if session.get(BaseTableRow, base.name) is None:
                bases.add(session, base)
                if base.is_default and not chosen:
                    bases.use(session, base.name)
        for counter in manifest.counters:
            row = session.get(NameRow, counter.name) or NameRow(name=counter.name, kind=counter.kind, last_version=0)
            row.last_version = max(row.last_version, counter.last_version)
            session.add(row)
        there = set(session.exec(select(CompositionRow.made_at, CompositionRow.path, CompositionRow.sha256)))
        for made in manifest.compositions:
            if (made.made_at, made.path, made.sha256) not in there:
                store(session, CompositionRow(**{**vars(made), "id": None}))

"""Is everything still what it was? Adapters against their hashes, sources against theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from registry import documents, kept_steps, labels, rows
from registry.blobs import LABELS, Blobs, measure
from registry.database import Database
from registry.errors import RegistryError, UnknownNameError
from registry.records import Adapter, Labels, Source

State = Literal["ok", "changed", "moved", "vanished"]
HashOf = Callable[[Path], str]
"""Gives a source's SHA-256, as the plan of its run did. Raises OSError or ValueError where it can't."""


@dataclass(frozen=True)
class Finding:
    """What became of an adapter (`source` is None), or of one of its sources.

    `detail` says it in words; of a moved source it is the new path.
    """

    adapter: Adapter
    source: Source | None
    state: State
    detail: str = ""

    @property
    def is_mismatch(self) -> bool:
        """Whether something isn't what it was. That a source was moved or deleted is its owner's business."""
        return self.state == "changed" or (self.source is None and self.state != "ok")


def check(database: Database, blobs: Blobs, adapters: Sequence[Adapter], hash_of: HashOf | None) -> Iterator[Finding]:
    """Re-hash adapters and, with `hash_of`, their sources. One that is removed meanwhile is passed over."""
    for adapter in adapters:
        try:
            with database.reading() as session:
                sources, attached = rows.sources_of(session, adapter), labels.of_one(session, adapter)
        except UnknownNameError:
            continue
        finding = _adapter(database, blobs.folder(adapter.name, adapter.version), adapter, sources, attached)
        if finding.state != "ok" and not _is_there(database, adapter):
            continue
        yield finding
        if hash_of is not None:
            yield from (_source(adapter, source, hash_of) for source in sources)


def _adapter(database: Database, folder: Path, adapter: Adapter, sources: list[Source], attached: Labels) -> Finding:
    if not folder.is_dir():
        return Finding(adapter, None, "vanished", f"{folder} is gone")
    try:
        if measure(folder) != (adapter.file_hash, adapter.size):
            return Finding(adapter, None, "changed", f"the files in {folder} aren't those that were published")
        if documents.read(folder) != (adapter, sources):
            return Finding(adapter, None, "changed", f"adapter.json in {folder} says other things than the registry")
        for step, kept in kept_steps.folders(folder):
            if flaw := kept_steps.flaw(adapter, step, kept):
                return Finding(adapter, None, "changed", flaw)
        if labels.read(folder) != attached and not _adopt(database, folder, adapter):
            return Finding(adapter, None, "changed", f"labels.json is gone from {folder}: tag and note it anew")
    except RegistryError as error:
        return Finding(adapter, None, "changed", str(error))
    except (OSError, ValueError) as error:
        return Finding(adapter, None, "changed", f"{folder} can't be read: {error}")
    return Finding(adapter, None, "ok")


def _adopt(database: Database, folder: Path, adapter: Adapter) -> bool:
    """Make the rows say what `labels.json` says; false where it isn't there and should be.

    The file is written just before the rows change: a process that was killed in between leaves it ahead.
    """
    with database.writing() as session:
        if labels.read(folder) != labels.of_one(session, adapter):
            if not (folder / LABELS).exists():
                return False
            labels.store(session, adapter, labels.read(folder))
    return True


def _is_there(database: Database, adapter: Adapter) -> bool:
    """Whether the adapter is still what was looked at: another process may have renamed or removed it."""
    with database.reading() as session:
        return adapter in rows.listed(session, None, adapter.name)


def _source(adapter: Adapter, source: Source, hash_of: HashOf) -> Finding:
    path = Path(source.path)
    try:
        if path.exists():
            same = hash_of(path) == source.sha256
            return Finding(adapter, source, "ok" if same else "changed")
        for other in _nearby(path, source.bytes):
            if hash_of(other) == source.sha256:
                return Finding(adapter, source, "moved", str(other))
    except (OSError, ValueError) as error:
        return Finding(adapter, source, "changed", f"it can't be read: {error}")
    return Finding(adapter, source, "vanished")


def _nearby(path: Path, size: int) -> Iterator[Path]:
    """Files of the same size in the folder where a source was, and those beside and below it."""
    seen: set[Path] = set()
    for folder in (path.parent, path.parent.parent):
        if folder == folder.parent or not folder.is_dir():
            continue
        for pattern in ("*", "*/*"):
            for other in sorted(folder.glob(pattern)):
                if other not in seen and _has_size(other, size):
                    seen.add(other)
                    yield other


def _has_size(path: Path, size: int) -> bool:
    """Whether it is a file of this size; one that is gone by now isn't."""
    try:
        return path.is_file() and path.stat().st_size == size
    except FileNotFoundError:
        return False

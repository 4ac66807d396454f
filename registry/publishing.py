"""The last step of publishing and of importing: the folder into its place, then the row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from registry import labels, rows
from registry.blobs import Blobs
from registry.database import Database
from registry.records import Adapter, Labels, Source


def publish_staged(
    database: Database,
    blobs: Blobs,
    staged: Path,
    adapter: Adapter,
    sources: Sequence[Source],
    attached: Labels | None = None,
) -> None:
    """Rename the staged folder, whose number was taken before, and insert its row. Raises NameTakenError."""
    placed = None
    try:
        with database.writing() as session:
            # Asked again: while the name had no version, the other kind may have taken it.
            rows.last_version(session, adapter.name, adapter.kind)
            rows.reserve(session, adapter.name, adapter.kind, adapter.version)
            placed = blobs.move_in(staged, adapter.name, adapter.version)
            rows.insert(session, adapter, sources)
            if attached is not None:
                labels.store(session, adapter, attached)
    except BaseException:
        # Ctrl-C may come just after the row was written; then the files must stay.
        if placed is not None and not _is_known(database, adapter):
            blobs.take_back(placed, staged)
        raise


def _is_known(database: Database, adapter: Adapter) -> bool:
    with database.reading() as session:
        return any(known.version == adapter.version for known in rows.listed(session, None, adapter.name))

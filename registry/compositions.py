"""Every video that was composed: what it shows, what it was made with, and where it went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlmodel import Session, col, or_, select

from registry.database import Database
from registry.records import Adapter, AdapterAtStep, Composition, NewComposition
from registry.tables import CompositionAdapterRow, CompositionRow


class Compositions:
    """The history of one registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, made: NewComposition) -> Composition:
        """Note a video, just made."""
        row = CompositionRow(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            path=made.path.encode("utf-8", "backslashreplace").decode(),
            sha256=made.sha256,
            bytes=made.bytes,
            prompt=str(made.record["prompt"]),
            seed=int(made.record["seed"]),
            base_name=str(made.record["base"]["name"]),
            record=dict(made.record),
        )
        with self._database.writing() as session:
            return _composition(store(session, row))

    def all(
        self, *, adapter: Adapter | None = None, steps: Sequence[AdapterAtStep] = (), limit: int | None = None
    ) -> list[Composition]:
        """Give all videos, or those that `adapter` had a part in, the newest last; `limit` keeps the newest.

        `steps` are its kept ones, whose videos are its own; of one that went, those by the name that it has now.
        """
        query = select(CompositionRow).order_by(col(CompositionRow.id).desc())
        if adapter is not None:
            hashes = [each.file_hash for each in (adapter, *steps)]
            by_name = col(CompositionAdapterRow.name).startswith(f"{adapter.id}:", autoescape=True)
            used = select(CompositionAdapterRow.composition_id).where(
                CompositionAdapterRow.role == adapter.kind,
                or_(col(CompositionAdapterRow.file_hash).in_(hashes), by_name),
            )
            query = query.where(col(CompositionRow.id).in_(used))
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as session:
            return [_composition(row) for row in session.exec(query)][::-1]


def store(session: Session, row: CompositionRow) -> CompositionRow:
    """Store a video's row, a new one or one that has its number, and those of its adapters, by its record."""
    stored = session.merge(row)
    session.flush()
    for position, adapter in enumerate(_composition(stored).adapters):
        session.merge(CompositionAdapterRow(composition_id=stored.id, position=position, **vars(adapter)))
    session.flush()
    return stored


def _composition(row: CompositionRow) -> Composition:
    return Composition(**row.model_dump())

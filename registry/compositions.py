"""Every video that was composed: what it shows, what it was made with, and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlmodel import col, select

from registry.database import Database
from registry.records import Adapter, Composition, NewComposition
from registry.tables import CompositionRow


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
            **_learnt(made.record),
        )
        with self._database.writing() as session:
            session.add(row)
            session.flush()
            return _composition(row)

    def all(self, *, adapter: Adapter | None = None, limit: int | None = None) -> list[Composition]:
        """Give all videos, or those that `adapter` had a part in, the newest last; `limit` keeps the newest."""
        query = select(CompositionRow).order_by(col(CompositionRow.id).desc())
        if adapter is not None:
            column = CompositionRow.subject_hash if adapter.kind == "subject" else CompositionRow.motion_hash
            query = query.where(column == adapter.file_hash)
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as session:
            return [_composition(row) for row in session.exec(query)][::-1]


def _learnt(record: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for kind in ("subject", "motion"):
        values[kind] = record[kind]["name"] if kind in record else None
        values[f"{kind}_hash"] = record[kind]["sha256"] if kind in record else None
    return values


def _composition(row: CompositionRow) -> Composition:
    return Composition(**row.model_dump())

"""Suites that were run, and what came of each of their cells: the figures without their folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from sqlmodel import Session, col, delete, func, select

from registry.database import Database
from registry.errors import UnknownNameError
from registry.records import SuiteCell, SuiteRun
from registry.tables import CellRow, SuiteRow


class Suites:
    """The suites of one registry. A suite is known by its folder: running it again is no new one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, folder: str, size: int, cells: Sequence[SuiteCell], *, keep_others: bool = False) -> int:
        """Note that a suite of `size` cells runs into `folder`, whose results so far are `cells`; give its id.

        With `keep_others`, `cells` are those of a part, and what was noted of others stays.
        """
        folder = folder.encode("utf-8", "backslashreplace").decode()
        with self._database.writing() as session:
            row = session.exec(select(SuiteRow).where(SuiteRow.folder == folder)).first()
            row = row or SuiteRow(name=name, folder=folder, size=size, updated_at="")
            row.name, row.size, row.updated_at = name, size, _now()
            session.add(row)
            session.flush()
            assert row.id is not None
            if keep_others:
                for cell in cells:
                    _remove(session, row.id, cell)
            else:
                session.exec(delete(CellRow).where(col(CellRow.suite_id) == row.id))
            session.add_all(CellRow(suite_id=row.id, **asdict(cell)) for cell in cells)
            return row.id

    def note(self, id: int, cell: SuiteCell) -> None:
        """Note what came of a cell, in place of what was noted of it before. Raises UnknownNameError."""
        with self._database.writing() as session:
            row = session.get(SuiteRow, id)
            if row is None:
                raise UnknownNameError(f"There is no suite {id} any more. See: dv suite status")
            row.updated_at = _now()
            session.add(row)
            _remove(session, id, cell)
            session.add(CellRow(suite_id=id, **asdict(cell)))

    def all(self) -> list[SuiteRun]:
        """Give every suite, the one that was worked on last at the end."""
        with self._database.reading() as session:
            counted = select(CellRow.suite_id, CellRow.state, func.count()).group_by(
                col(CellRow.suite_id), col(CellRow.state)
            )
            counts: dict[tuple[int | None, str], int] = {(id, state): n for id, state, n in session.exec(counted)}
            rows = session.exec(select(SuiteRow).order_by(col(SuiteRow.updated_at), col(SuiteRow.id)))
            return [
                SuiteRun(
                    **row.model_dump(), made=counts.get((row.id, "made"), 0), failed=counts.get((row.id, "failed"), 0)
                )
                for row in rows
            ]

    def cells(self, id: int) -> list[SuiteCell]:
        """Give what came of a suite's cells, in the order in which they were noted."""
        with self._database.reading() as session:
            rows = session.exec(select(CellRow).where(CellRow.suite_id == id).order_by(col(CellRow.id)))
            return [SuiteCell(**row.model_dump(exclude={"id", "suite_id"})) for row in rows]


def _remove(session: Session, id: int, cell: SuiteCell) -> None:
    session.exec(
        delete(CellRow).where(
            col(CellRow.suite_id) == id,
            col(CellRow.method) == cell.method,
            col(CellRow.subject).is_not_distinct_from(cell.subject),
            col(CellRow.motion).is_not_distinct_from(cell.motion),
            col(CellRow.prompt) == cell.prompt,
            col(CellRow.seed) == cell.seed,
            col(CellRow.subject_step).is_not_distinct_from(cell.subject_step),
            col(CellRow.motion_step).is_not_distinct_from(cell.motion_step),
        )
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

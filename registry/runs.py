"""Learning runs, as the processes tell of themselves: a row that begins, a heartbeat, an end.

A process that is killed tells no end. Its heartbeat stops, and that is what makes the run an interrupted one:
the row itself is never wrong, because it never says "running".
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock
from sqlmodel import Session, col, select

from registry.database import Database
from registry.errors import UnknownNameError
from registry.names import check_name
from registry.records import Outcome, Run, RunKind, RunState
from registry.tables import RunRow

BEAT_S = 3.0
"""How often a run tells that it is alive."""
SILENT_S = 30.0
"""A run that hasn't told for so long is taken for dead, on another machine at least."""
LOGS = "logs"


class Runs:
    """The runs of one registry, and their logs in `<home>/logs/<id>.log`."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def lock(self, name: str) -> FileLock:
        """Give the lock that a process holds while it learns this name: acquire it to be alone.

        The kernel lets go of it when the process dies. Raises InvalidNameError.
        """
        return self._lock(f".{check_name(name)}.lock")

    def claim(self, name: str) -> FileLock:
        """Give the lock that one of several processes holds while it sees to it that this name is learnt, or was.

        Who holds it takes `lock(name)` as well to learn. Raises InvalidNameError.
        """
        return self._lock(f".{check_name(name)}.claim")

    def _lock(self, file: str) -> FileLock:
        folder = self._folder / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / file, timeout=0)

    def begin(self, kind: RunKind, name: str) -> int:
        """Note that this process begins to learn `name`, whose lock it holds, and give the run's id."""
        now = _now()
        row = RunRow(
            kind=kind, name=name, host=platform.node(), pid=os.getpid(), started_at=now, heartbeat_at=now
        )  # fmt: skip
        with self._database.writing() as session:
            for dead in session.exec(select(RunRow).where(RunRow.name == name, col(RunRow.outcome).is_(None))):
                # The lock is ours, so the process that wrote this row is gone.
                dead.outcome, dead.ended_at = "interrupted", dead.heartbeat_at
                session.add(dead)
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    def beat(self, id: int, reached: tuple[str, int, int] | None) -> bool:
        """Tell that a run is alive, and how far it is (part, step, steps); give whether it was asked to stop."""
        with self._database.writing() as session:
            row = _row(session, id)
            row.heartbeat_at = _now()
            _reach(row, reached)
            session.add(row)
            return row.stop_asked

    def end(
        self,
        id: int,
        outcome: Outcome,
        *,
        message: str | None = None,
        reached: tuple[str, int, int] | None = None,
        adapter: str | None = None,
    ) -> None:
        """Note how a run ended: with which error, or which adapter."""
        with self._database.writing() as session:
            row = _row(session, id)
            row.heartbeat_at = row.ended_at = _now()
            row.outcome, row.message, row.adapter = outcome, message, adapter
            _reach(row, reached)
            session.add(row)

    def all(self, *, name: str | None = None) -> list[Run]:
        """Give all runs, or those of one name, the newest last."""
        query = select(RunRow).order_by(col(RunRow.id))
        if name is not None:
            query = query.where(RunRow.name == check_name(name))
        with self._database.reading() as session:
            return [_run(row) for row in session.exec(query)]

    def find(self, text: str) -> Run:
        """Give the run with this id, or the newest of this name. Raises UnknownNameError, InvalidNameError."""
        runs = self.all()
        if text.isascii() and text.isdigit():
            chosen = [run for run in runs if run.id == int(text)] or [run for run in runs if run.name == text]
        else:
            name = check_name(text)
            chosen = [run for run in runs if run.name == name]
        if not chosen:
            raise UnknownNameError(f"There is no run {text!r}, by number or by name. See: dv runs")
        return chosen[-1]

    def ask_to_stop(self, run: Run) -> None:
        """Leave word for a run; it stops at its next heartbeat, as after Ctrl-C. Raises UnknownNameError."""
        with self._database.writing() as session:
            row = _row(session, run.id)
            row.stop_asked = True
            session.add(row)

    def forget(self, runs: Sequence[Run]) -> None:
        """Remove rows, then logs. What is gone already is no error."""
        with self._database.writing() as session:
            for run in runs:
                row = session.get(RunRow, run.id)
                if row is not None:
                    session.delete(row)
        for run in runs:
            self.log_of(run.id).unlink(missing_ok=True)

    def log_of(self, id: int) -> Path:
        """Give the file that a run logs to. Neither it nor its folder need be there."""
        return self._folder / LOGS / f"{id}.log"


def _row(session: Session, id: int) -> RunRow:
    row = session.get(RunRow, id)
    if row is None:
        raise UnknownNameError(f"There is no run {id} any more. See: dv runs")
    return row


def _reach(row: RunRow, reached: tuple[str, int, int] | None) -> None:
    if reached is not None:
        row.part, row.step, row.steps = reached


def _run(row: RunRow) -> Run:
    assert row.id is not None
    values = row.model_dump(exclude={"outcome", "stop_asked", "host"})
    return Run(state=_state(row), **values)


def _state(row: RunRow) -> RunState:
    if row.outcome is not None:
        return row.outcome  # type: ignore[return-value]
    if row.host == platform.node() and not _lives(row.pid):
        return "interrupted"
    # Either way: a clock may have been set back.
    silent = abs(datetime.now(UTC) - datetime.fromisoformat(row.heartbeat_at))
    return "running" if silent < timedelta(seconds=SILENT_S) else "interrupted"


def _lives(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""A batch: every row checked, then made with its base loaded once; a manifest says how each row went."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.batch.files import Row
from dreamvideo_cli.jobs.batch.making import RowMaker
from dreamvideo_cli.jobs.batch.manifest import write_manifest
from dreamvideo_cli.jobs.batch.planning import BatchPlan, PlannedRow, plan_batch
from dreamvideo_cli.jobs.events import FileMade, OnEvent, Planned, Warned, ignore
from dreamvideo_cli.jobs.execution.choosing import HERE, Execution, executor_for
from dreamvideo_cli.jobs.execution.composing import Stepped
from dreamvideo_cli.jobs.execution.executor import Executor
from dreamvideo_cli.jobs.folders import working_in
from dreamvideo_cli.jobs.progress import TotalProgress

if TYPE_CHECKING:
    from registry import Registry


def run_rows(
    rows: Sequence[Row],
    folder: Path,
    registry: Registry,
    *,
    force: bool = False,
    execution: Execution = HERE,
    device: str | None = None,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> BatchPlan:
    """Check every row, make what isn't there yet, and give the rows with how each went.

    `execution` says where, and how many at once. A row that fails doesn't keep the others from being made. Raises
    `InputError` with all the rows that can't be made; then none is.
    """
    with working_in(folder, "batch"):
        plan = plan_batch(rows, folder, registry, force=force, device=device, on_event=on_event)
        on_event(Planned(plan))
        if not dry_run:
            with executor_for(execution if plan.waiting else HERE, on_event) as executor:
                _make(plan, registry, executor, on_event)
    return plan


def _make(plan: BatchPlan, registry: Registry, executor: Executor, on_event: OnEvent) -> None:
    """Make what isn't there yet; tell of each file when it is there and noted: the manifest is written after each
    row."""
    write_manifest(plan.rows, plan.folder)
    for row in plan.rows:
        if row.state == "kept":
            _tell_files(row, on_event)
    waiting = plan.waiting
    progress = TotalProgress(on_event, "batch", sum(row.steps for row in waiting), min(executor.at_once, len(waiting)))

    def on_step(row: PlannedRow, step: Stepped) -> None:
        done = sum(row.state != "waiting" for row in waiting)
        progress.step(row.row.number, f"{done} of {len(waiting)} rows, seed {step.seed}", step.seconds)

    maker = RowMaker(waiting, registry, on_step, on_event)
    with closing(executor.run(maker.next_unit, maker.take, needs=maker.needs)) as units:
        for done in units:
            row, error = maker.take_end(done)
            row.state, row.error = ("made" if error is None else "failed"), error
            # First: whoever reads the path may interrupt, and finds the row as made.
            write_manifest(plan.rows, plan.folder)
            if error is None:
                _tell_files(row, on_event)
            else:
                on_event(Warned(f"row {row.row.number} failed: {error}"))
            progress.piece_done(row.row.number, row.steps)


def _tell_files(row: PlannedRow, on_event: OnEvent) -> None:
    for file in row.files:
        on_event(FileMade(file.path, file.seed))

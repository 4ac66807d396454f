"""A suite's run: learns what is missing, then makes and scores every video that isn't whole, the base loaded once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Note, OnEvent, Planned, Warned, ignore
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.folders import working_in
from dreamvideo_cli.jobs.progress import TotalProgress
from dreamvideo_cli.jobs.suite.cells import VIDEOS, CellMaker, cell_text, rescored
from dreamvideo_cli.jobs.suite.folder import LEARNING, REFERENCES, ResultsWriter
from dreamvideo_cli.jobs.suite.learning import AdapterLearner
from dreamvideo_cli.jobs.suite.planning import plan_suite
from dreamvideo_cli.jobs.suite.plans import PlannedCell, SuitePlan
from dreamvideo_cli.jobs.suite.shards import Shard
from engine.errors import InputError
from engine.evaluation.suites.definition import Suite, suite_in
from engine.evaluation.suites.results import RESULTS, newest_results, results_files, results_of_shard
from engine.processes import started_processes

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.evaluation.scoring import Scorer
    from registry import Registry

_BETWEEN_LOOKS_S = 5.0
"""How often a run that has nothing left to do but wait looks whether another process is done with an adapter."""


def run_cells(
    suite: Suite,
    folder: Path,
    registry: Registry,
    *,
    shard: Shard | None = None,
    device: str | None = None,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> SuitePlan:
    """Check the whole suite, then learn, compose and score what is missing, of all or of a shard; give the plan with
    each cell's result.

    What fails is noted with its cells, and the rest goes on. Raises `InputError` with all that is wrong with the suite,
    and the engine's errors where nothing can be made at all: no base, no judges.
    """
    if started_processes().size > 1:
        raise InputError("processes that are started together learn one adapter, not a suite: run its shards (`shard`)")
    other = suite_in(folder)
    if other is not None and other.name != suite.name:
        raise InputError(f"{folder} holds the suite {other.name}: choose another folder with `folder`")
    part = shard.slug if shard is not None else None
    noted = results_of_shard(part) if part is not None else RESULTS
    with working_in(folder, "suite", part=part, writes=(noted, REFERENCES, LEARNING, VIDEOS)):
        results = newest_results(folder) if results_files(folder) else []
        with TemporaryDirectory() if dry_run else nullcontext(folder / REFERENCES) as material:
            plan = plan_suite(suite, folder, results, registry, material=Path(material), device=device)
        plan = replace(plan, shard=shard)
        on_event(Planned(plan))
        if not dry_run:
            _carry_out(plan, registry, on_event)
    return plan


def _carry_out(plan: SuitePlan, registry: Registry, on_event: OnEvent) -> None:
    from engine.bases.load import choose_device, load_base
    from engine.evaluation.judges import Judges
    from engine.evaluation.scoring import METRICS, Scorer

    writer = ResultsWriter(plan, registry, on_event)
    if not plan.waiting:
        return
    judges = Judges(plan.judges, device=str(choose_device(plan.device)))
    scorer = Scorer(judges, metrics=METRICS)
    for judge in dict.fromkeys(name for metric in METRICS for name in metric.judges):
        judges[judge]  # Where a judge is missing, no video is of use.
    with writer:
        _score(plan, scorer, writer, on_event)
        if plan.to_make:
            base = load_base(plan.info.location, device=plan.device, dtype=plan.dtype)
            _make(plan, base, scorer, registry, writer, on_event)


def _score(plan: SuitePlan, scorer: Scorer, writer: ResultsWriter, on_event: OnEvent) -> None:
    """Measure the videos that are there by what they were not measured by. One that can't be keeps what it has."""
    for cell in (cell for cell in plan.own if cell.has_video and cell.unscored):
        try:
            cell.after = rescored(plan, cell, scorer)
        except Exception as error:
            on_event(Warned(f"{cell_text(cell.cell)} can't be measured: {reason_of(error)}"))
            continue
        writer.add(cell)


def _make(
    plan: SuitePlan, base: Base, scorer: Scorer, registry: Registry, writer: ResultsWriter, on_event: OnEvent
) -> None:
    """Learn what is missing, then make and score the cells whose video isn't there. Cells whose adapters other
    processes are learning come last; only when nothing else is left are those waited for."""
    learner = AdapterLearner(plan, base, registry, on_event)
    composer = _Composer(plan, base, scorer, registry, writer, on_event)
    waiting: Sequence[PlannedCell] = plan.to_make
    waited_for: set[str] = set()
    while waiting:
        busy = {adapter.identity: adapter.request.name for adapter in learner.learn_free()}
        later = [cell for cell in waiting if any(a.identity in busy for a in cell.adapters.values())]
        composer.make([cell for cell in waiting if cell not in later])
        if later and len(later) == len(waiting):
            if waited_for != set(busy):
                on_event(Note(f"waiting for what other processes learn: {', '.join(sorted(busy.values()))}"))
            waited_for = set(busy)
            time.sleep(_BETWEEN_LOOKS_S)
        waiting = later


class _Composer:
    """Makes and scores cells, and tells how far it is with all that there is to make."""

    def __init__(
        self, plan: SuitePlan, base: Base, scorer: Scorer, registry: Registry, writer: ResultsWriter, on_event: OnEvent
    ) -> None:
        self._plan, self._base, self._scorer, self._registry = plan, base, scorer, registry
        self._writer, self._on_event = writer, on_event
        self._cells, self._done = len(plan.to_make), 0
        self._progress = TotalProgress(on_event, "videos", sum(cell.config.steps for cell in plan.to_make))

    def make(self, cells: Sequence[PlannedCell]) -> None:
        """Make and score cells of which nobody learns an adapter any more, in the suite's order."""
        for cell in cells:
            self._done += 1
            self._make(cell, self._done)

    def _make(self, cell: PlannedCell, number: int) -> None:
        remark = f"{number} of {self._cells}, {cell_text(cell.cell)}"

        def on_step(seconds: float) -> None:
            self._progress.step(number, remark, seconds)

        maker = CellMaker(self._plan, cell, self._registry, on_step, self._on_event)
        try:
            cell.after = maker.made(self._base, self._scorer)
        except Exception as error:
            cell.after = maker.failed(reason_of(error))
            if not any(adapter.error for adapter in cell.adapters.values()):  # of those was told before
                self._on_event(Warned(f"{cell_text(cell.cell)} failed: {cell.after.error}"))
        self._progress.piece_done(number, cell.config.steps)
        self._writer.add(cell)

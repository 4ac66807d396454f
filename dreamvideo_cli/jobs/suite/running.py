"""A suite's run: learns what is missing, then makes and scores every video that isn't whole, the base loaded once."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Note, OnEvent, Planned, Warned, ignore
from dreamvideo_cli.jobs.execution.choosing import HERE, Execution, executor_for
from dreamvideo_cli.jobs.execution.composing import Made, Stepped
from dreamvideo_cli.jobs.execution.executor import Executor
from dreamvideo_cli.jobs.execution.units import Done, Needs, Unit
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.folders import working_in
from dreamvideo_cli.jobs.progress import TotalProgress
from dreamvideo_cli.jobs.suite.cells import VIDEOS, CellMaker, Measured, cell_text, measuring_unit, remeasured
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
    from registry import Registry

_BETWEEN_LOOKS_S = 5.0
"""How often a run that has nothing left to do but wait looks whether another process is done with an adapter."""


def run_cells(
    suite: Suite,
    folder: Path,
    registry: Registry,
    *,
    shard: Shard | None = None,
    execution: Execution = HERE,
    device: str | None = None,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> SuitePlan:
    """Check the whole suite, then learn, compose and score what is missing, of all or of a shard, where `execution`
    says; give the plan with each cell's result.

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
            _carry_out(plan, registry, execution, on_event)
    return plan


def _carry_out(plan: SuitePlan, registry: Registry, execution: Execution, on_event: OnEvent) -> None:
    writer = ResultsWriter(plan, registry, on_event)
    if not plan.waiting:
        return
    with writer, executor_for(execution, on_event) as executor:
        _measure(plan, executor, writer, on_event)
        if plan.to_make:
            _make(plan, executor, registry, writer, on_event)


def _measure(plan: SuitePlan, executor: Executor, writer: ResultsWriter, on_event: OnEvent) -> None:
    """Measure the videos that are there by what they were not measured by. One that can't be keeps what it has."""
    cells = [cell for cell in plan.own if cell.has_video and cell.unscored]
    waiting, cell_of = iter(cells), dict[int, PlannedCell]()

    def next_unit(_loaded: Needs | None) -> Unit | None:
        cell = next(waiting, None)
        if cell is None:
            return None
        unit = measuring_unit(plan, cell)
        cell_of[id(unit)] = cell
        return unit

    with closing(executor.run(next_unit, lambda _unit, _message: None, needs=[plan.needs] * len(cells))) as units:
        for done in units:
            cell = cell_of[id(done.unit)]
            if done.error is None:
                cell.after = remeasured(plan, cell, done.value)
                writer.add(cell)
            elif done.unprepared:
                raise done.error
            else:
                on_event(Warned(f"{cell_text(cell.cell)} can't be measured: {reason_of(done.error)}"))


def _make(plan: SuitePlan, executor: Executor, registry: Registry, writer: ResultsWriter, on_event: OnEvent) -> None:
    """Learn what is missing, then make and measure the cells whose video isn't there. Cells whose adapters other
    processes are learning come last; only when nothing else is left are those waited for."""
    learner = AdapterLearner(plan, registry, executor.at_once, on_event)
    maker = _Maker(plan, learner, executor.at_once, registry, writer, on_event)
    waited_for: set[str] = set()
    try:
        while maker.waiting:
            needs = [plan.needs] * (len(learner.pending) + len(maker.waiting))
            with closing(executor.run(maker.next_unit, maker.take, needs=needs)) as units:
                for done in units:
                    maker.take_end(done)
            if maker.waiting:
                busy = set(learner.pending.values())
                if waited_for != busy:
                    on_event(Note(f"waiting for what other processes learn: {', '.join(sorted(busy))}"))
                waited_for = busy
                time.sleep(_BETWEEN_LOOKS_S)
    except BaseException as error:
        learner.stop(error)
        raise


class _Maker:
    """Gives out what is ready to be learnt or made, takes what came of it, and tells how far all that is."""

    def __init__(
        self,
        plan: SuitePlan,
        learner: AdapterLearner,
        at_once: int,
        registry: Registry,
        writer: ResultsWriter,
        on_event: OnEvent,
    ) -> None:
        self.waiting = list(plan.to_make)
        self._plan, self._learner, self._registry = plan, learner, registry
        self._writer, self._on_event = writer, on_event
        self._cells = len(self.waiting)
        self._making: dict[int, tuple[PlannedCell, CellMaker, int]] = {}
        steps = sum(cell.config.steps for cell in self.waiting)
        self._progress = TotalProgress(on_event, "videos", steps, min(at_once, max(1, self._cells)))

    def next_unit(self, _loaded: Needs | None) -> Unit | None:
        """An adapter to learn, or else a cell of whose adapters nobody learns one any more, in the suite's order."""
        unit: Unit | None = self._learner.next_unit()
        while unit is None:
            pending = self._learner.pending
            ready = (c for c in self.waiting if not any(a.identity in pending for a in c.adapters.values()))
            cell = next(ready, None)
            if cell is None:
                return None
            self.waiting.remove(cell)
            unit = self._begun(cell)
        return unit

    def take(self, unit: Unit, message: object) -> None:
        """Take what was told of a unit."""
        if id(unit) not in self._making:
            self._learner.take(unit, message)
            return
        cell, maker, number = self._making[id(unit)]
        if isinstance(message, Stepped):
            remark = f"{number} of {self._cells}, {cell_text(cell.cell)}"
            self._progress.step(number, remark, message.seconds)
        elif isinstance(message, Made):
            maker.take(message)

    def take_end(self, done: Done) -> None:
        """Take what came of a unit. Raises its error where nothing can be made at all: no base, no judges."""
        if done.unprepared:
            assert done.error is not None
            raise done.error
        if id(done.unit) not in self._making:
            self._learner.take_end(done)
            return
        cell, maker, number = self._making.pop(id(done.unit))
        self._finish(cell, number, maker, done.value, done.error)

    def _begun(self, cell: PlannedCell) -> Unit | None:
        number = self._cells - len(self.waiting)
        maker = CellMaker(self._plan, cell, self._registry, self._on_event)
        try:
            unit = maker.unit()
        except Exception as error:
            self._finish(cell, number, maker, None, error)
            return None
        self._making[id(unit)] = cell, maker, number
        return unit

    def _finish(
        self, cell: PlannedCell, number: int, maker: CellMaker, measured: Measured | None, error: Exception | None
    ) -> None:
        if measured is not None:
            cell.after = maker.made(measured)
        else:
            assert error is not None
            cell.after = maker.failed(reason_of(error))
            if not any(adapter.error for adapter in cell.adapters.values()):  # of those was told before
                self._on_event(Warned(f"{cell_text(cell.cell)} failed: {cell.after.error}"))
        self._progress.piece_done(number, cell.config.steps)
        self._writer.add(cell)

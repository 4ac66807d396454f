"""A suite's run: learns what is missing, then makes and scores every video that isn't whole, the base loaded once."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Event, Note, OnEvent, Planned, Warned, ignore
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.folders import working_in
from dreamvideo_cli.jobs.learning import learn
from dreamvideo_cli.jobs.progress import TotalProgress
from dreamvideo_cli.jobs.requests import LearnRequest, load_request
from dreamvideo_cli.jobs.suite.cells import VIDEOS, CellMaker, cell_text, rescored
from dreamvideo_cli.jobs.suite.folder import LEARNING, REFERENCES, ResultsWriter, learning_curve
from dreamvideo_cli.jobs.suite.planning import plan_suite
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, SuitePlan
from dreamvideo_cli.wording import duration_text
from engine.errors import InputError, ResumeError
from engine.evaluation.suites.definition import Suite, suite_in
from engine.evaluation.suites.results import RESULTS, newest_results

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.evaluation.scoring import Scorer
    from registry import Adapter, Registry


def run_cells(
    suite: Suite,
    folder: Path,
    registry: Registry,
    *,
    device: str | None = None,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> SuitePlan:
    """Check the whole suite, then learn, compose and score what is missing; give the plan with each cell's result.

    What fails is noted with its cells, and the rest goes on. Raises `InputError` with all that is wrong with the suite,
    and the engine's errors where nothing can be made at all: no base, no judges.
    """
    other = suite_in(folder)
    if other is not None and other.name != suite.name:
        raise InputError(f"{folder} holds the suite {other.name}: choose another folder with `folder`")
    with working_in(folder, "suite", writes=(RESULTS, REFERENCES, LEARNING, VIDEOS)):
        results = newest_results(folder) if (folder / RESULTS).exists() else []
        with TemporaryDirectory() if dry_run else nullcontext(folder / REFERENCES) as material:
            plan = plan_suite(suite, folder, results, registry, material=Path(material), device=device)
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
            _learn(plan, base, registry, on_event)
            _compose(plan, base, scorer, registry, writer, on_event)


def _score(plan: SuitePlan, scorer: Scorer, writer: ResultsWriter, on_event: OnEvent) -> None:
    """Measure the videos that are there by what they were not measured by. One that can't be keeps what it has."""
    for cell in (cell for cell in plan.cells if cell.has_video and cell.unscored):
        try:
            cell.after = rescored(plan, cell, scorer)
        except Exception as error:
            on_event(Warned(f"{cell_text(cell.cell)} can't be measured: {reason_of(error)}"))
            continue
        writer.add(cell)


def _learn(plan: SuitePlan, base: Base, registry: Registry, on_event: OnEvent) -> None:
    """Learn each adapter that is missing; one that fails keeps its error."""
    adapters, estimates = plan.to_learn, plan.estimates
    clock = _Clock(sum(map(estimates.learning, adapters)) + sum(map(estimates.composing, plan.to_make)))
    for number, adapter in enumerate(adapters, 1):
        name = adapter.request.name
        on_event(Note(f"learning {name}, {number} of {len(adapters)}, {clock.left_text}"))
        began = time.perf_counter()
        try:
            adapter.published = _learned(adapter, plan, base, registry, on_event)
        except Exception as error:
            adapter.error = reason_of(error)
            on_event(Warned(f"{name} failed: {adapter.error}"))
        clock.passed(estimates.learning(adapter), time.perf_counter() - began)


def _learned(
    adapter: PlannedAdapter, plan: SuitePlan, base: Base, registry: Registry, on_event: OnEvent
) -> Adapter | None:
    """Learn as `learn` does; an unfinished run of the same request goes on."""
    unfinished, resumable = _unfinished(replace(adapter.request, base=plan.info.location), registry)
    with learning_curve(plan.folder, adapter, fresh=not resumable) as note_loss:

        def tell(event: Event) -> None:
            note_loss(event)
            if not isinstance(event, Planned):
                on_event(event)

        try:
            return learn(
                adapter.request, registry, resume=resumable, restart=unfinished and not resumable, base=base,
                on_event=tell,
            )  # fmt: skip
        except ResumeError:
            # Its files or its base have changed since.
            return learn(adapter.request, registry, restart=True, base=base, on_event=tell)


def _unfinished(request: LearnRequest, registry: Registry) -> tuple[bool, bool]:
    """Whether there is an unfinished run of the request's name, and whether it is one of the same request."""
    try:
        stored = load_request(registry.run_folder(request.name))
        if stored is None:
            return False, False
        request.continuing(stored)
    except InputError:
        return True, False
    return True, request.is_all_of(stored)


def _compose(
    plan: SuitePlan, base: Base, scorer: Scorer, registry: Registry, writer: ResultsWriter, on_event: OnEvent
) -> None:
    """Make and score the cells whose video isn't there, in the suite's order."""
    waiting = plan.to_make
    progress = TotalProgress(on_event, "videos", sum(cell.config.steps for cell in waiting))
    for number, cell in enumerate(waiting, 1):
        remark = f"{number} of {len(waiting)}, {cell_text(cell.cell)}"

        def on_step(seconds: float, number: int = number, remark: str = remark) -> None:
            progress.step(number, remark, seconds)

        maker = CellMaker(plan, cell, registry, on_step, on_event)
        try:
            cell.after = maker.made(base, scorer)
        except Exception as error:
            cell.after = maker.failed(reason_of(error))
            if not any(adapter.error for adapter in cell.adapters.values()):  # of those was told before
                on_event(Warned(f"{cell_text(cell.cell)} failed: {cell.after.error}"))
        progress.piece_done(number, cell.config.steps)
        writer.add(cell)


class _Clock:
    """The time left: what was guessed for the rest, at the pace of what is done."""

    def __init__(self, guessed: float) -> None:
        self._left, self._guessed, self._took = guessed, 0.0, 0.0

    def passed(self, guessed: float, seconds: float) -> None:
        """Something that was guessed at so many seconds is done."""
        self._left -= guessed
        self._guessed += guessed
        self._took += seconds

    @property
    def left_text(self) -> str:
        pace = self._took / self._guessed if self._guessed else 1.0
        return f"about {duration_text(self._left * pace)} left for the suite"

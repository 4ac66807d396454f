"""What a job tells of itself, shown to the person at the terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Encoded, Event, FileMade, Note, Planned, Step, Warned

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.planning import BatchPlan
    from dreamvideo_cli.terminal.output import Out
    from dreamvideo_cli.terminal.progress import Meter


class Reporter:
    """A job's `on_event`. Plans, notes and progress go to stderr, paths of files to stdout, unless that is for JSON.

    Use as a context manager: its end closes the bars. `plan` is the last plan that was told.
    """

    def __init__(self, out: Out) -> None:
        self._out = out
        self.plan: object = None
        self._meter: Meter | None = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_bars()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Step():
                self._show_step(event)
            case Encoded(frames=frames, total=total, seconds=seconds):
                self._show_step(Step("encoding", frames, total, seconds), unit="frame")
            case FileMade(path=path):
                if not self._out.json:
                    with self._aside():
                        self._out.result(str(path), None)
            case Warned(text=text):
                with self._aside():
                    self._out.warn(text)
            case Note(text=text):
                self._close_bars()
                self._out.note(text)
            case Planned():
                self.plan = event.plan
                self._show_plan(event)

    def _show_step(self, step: Step, unit: str = "step") -> None:
        if self._meter is None:
            from dreamvideo_cli.terminal.progress import Meter

            self._meter = Meter(self._out)
        self._meter.show(step, unit)

    def _aside(self) -> AbstractContextManager[None]:
        return nullcontext() if self._meter is None else self._meter.aside()

    def _close_bars(self) -> None:
        if self._meter is not None:
            self._meter.close()
            self._meter = None

    def _show_plan(self, event: Planned) -> None:
        from dreamvideo_cli.jobs.batch.planning import BatchPlan
        from dreamvideo_cli.jobs.composing import ComposePlan
        from dreamvideo_cli.jobs.learning import LearningPlan
        from dreamvideo_cli.jobs.suite.plans import SuitePlan
        from dreamvideo_cli.jobs.tuning import PlannedTuning
        from dreamvideo_cli.terminal.plans import show_composition, show_plan

        match event.plan:
            case ComposePlan():
                show_composition(event.plan, self._out)
            case LearningPlan():
                if not self._out.quiet:
                    show_plan(event.plan, self._out)
            case PlannedTuning():
                from dreamvideo_cli.terminal.tuning import show_tuning

                self._close_bars()
                if not self._out.quiet:
                    show_tuning(event.plan, self._out)
            case BatchPlan():
                self._show_batch(event.plan)
            case SuitePlan():
                from dreamvideo_cli.terminal.suites import show_cost

                show_cost(event.plan, self._out)

    def _show_batch(self, plan: BatchPlan) -> None:
        from dreamvideo_cli.wording import count_text

        self._out.note(f"{count_text(len(plan.rows), 'row')}, {plan.count('kept')} of them there already")

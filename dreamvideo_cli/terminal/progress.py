"""Progress on stderr: bars on a terminal, a plain line every tenth where there is none, nothing with --quiet."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from dreamvideo_cli.terminal.output import Out, console
from dreamvideo_cli.wording import duration_text

if TYPE_CHECKING:
    from engine.training import Progress as Step

_SMOOTHING = 0.1
"""Weight of the newest step in the speed: steady enough to read, quick enough to follow."""


class Meter:
    """Shows the parts of a job one after another; `last` is what was reported last, None before that.

    Use as a context manager; hand `learning` or `counting(...)` to the engine as its callback.
    """

    def __init__(self, out: Out) -> None:
        self.out = out
        self.last: tuple[str, int, int] | None = None
        self._pace = 0.0
        self._tenth = -1
        self._task: TaskID | None = None
        self._bars = _bars() if sys.stderr.isatty() and not out.quiet else None

    def __enter__(self) -> Meter:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def learning(self, part: str, step: Step) -> None:
        """The engine's `on_progress`."""
        self.report(part, step.step, step.steps, step.seconds, f"loss {step.loss:.4f}")

    def report(self, part: str, step: int, steps: int, seconds: float, remark: str = "") -> None:
        """Show that `step` of `steps` of `part` is done and that it took `seconds`."""
        if self.last is None or self.last[0] != part:
            self._pace, self._tenth, self._task = seconds, -1, None
        self.last = (part, step, steps)
        self._pace += _SMOOTHING * (seconds - self._pace)
        left = self._pace * (steps - step)
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(part, total=steps, remark="", speed="", left="")
            self._bars.update(self._task, completed=step, remark=remark, speed=_speed(self._pace), left=_left(left))
        elif not self.out.quiet and (tenth := 10 * step // max(1, steps)) != self._tenth:
            self._tenth = tenth
            words = (f"{part} {step}/{steps}", remark, _speed(self._pace), _left(left))
            self.out.note("  ".join(word for word in words if word))


class Together:
    """The steps of many jobs as one part, so that the time left is that of all of them, `at_once` of them at a time."""

    def __init__(self, meter: Meter, part: str, steps: int, at_once: int = 1) -> None:
        self._meter, self._part, self._steps, self._at_once = meter, part, steps, at_once
        self._done = 0
        self._of_job: Counter[int] = Counter()

    def step(self, job: int, remark: str, seconds: float) -> None:
        """One step of a job, of which `remark` tells."""
        self._done += 1
        self._of_job[job] += 1
        self._meter.report(self._part, self._done, self._steps, seconds / self._at_once, remark)

    def job_done(self, job: int, steps: int) -> None:
        """A job of so many steps is over: those that it didn't make are no longer to be waited for."""
        self._steps -= steps - self._of_job[job]


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed)}/{int(task.total or 0)}", style="dim")


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        _Count(),
        TextColumn("{task.fields[remark]}", markup=False),
        TextColumn("{task.fields[speed]}", style="dim", markup=False),
        TextColumn("{task.fields[left]}", style="dim", markup=False),
        console=console(stderr=True),
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _speed(pace: float) -> str:
    """Steps a second, or seconds a step where that is the more telling number."""
    if pace <= 0:
        return ""
    return f"{1 / pace:.1f} steps/s" if pace < 1 else f"{pace:.1f} s/step"


def _left(seconds: float) -> str:
    return f"{duration_text(seconds)} left" if seconds > 0 else "done"

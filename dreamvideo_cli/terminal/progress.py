"""Progress on stderr: bars on a terminal, a plain line every tenth where there is none, nothing with --quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from dreamvideo_cli.jobs.events import Step
from dreamvideo_cli.terminal.output import Out, console
from dreamvideo_cli.wording import duration_text

_SMOOTHING = 0.1
"""Weight of the newest step in the speed: steady enough to read, quick enough to follow."""


class Meter:
    """Shows the parts of a job one after another."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._part: str | None = None
        self._pace = 0.0
        self._tenth = -1
        self._task: TaskID | None = None
        self._bars = _bars() if sys.stderr.isatty() and not out.quiet else None
        if self._bars is not None:
            self._bars.start()

    def close(self) -> None:
        """Leave the bars as they are."""
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bars off the screen while something else is printed, which would be put at the end of their line."""
        if self._bars is None:
            yield
            return
        self._bars.live.transient = True
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.live.transient = False
            self._bars.start()

    def show(self, step: Step, unit: str = "step") -> None:
        """Show how far the job is; its speed is told in `unit`s."""
        if self._part != step.part:
            self._part, self._pace, self._tenth, self._task = step.part, step.seconds, -1, None
        self._pace += _SMOOTHING * (step.seconds - self._pace)
        left, speed = self._pace * (step.steps - step.step), _speed(self._pace, unit)
        remark = step.remark if step.loss is None else f"loss {step.loss:.4f}"
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(step.part, total=step.steps, remark="", speed="", left="")
            self._bars.update(self._task, completed=step.step, remark=remark, speed=speed, left=_left(left))
        elif not self._out.quiet and (tenth := 10 * step.step // max(1, step.steps)) != self._tenth:
            self._tenth = tenth
            words = (f"{step.part} {step.step}/{step.steps}", remark, speed, _left(left))
            self._out.note("  ".join(word for word in words if word))


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


def _speed(pace: float, unit: str) -> str:
    """Steps a second, or seconds a step where that is the more telling number."""
    if pace <= 0:
        return ""
    return f"{1 / pace:.1f} {unit}s/s" if pace < 1 else f"{pace:.1f} s/{unit}"


def _left(seconds: float) -> str:
    return f"{duration_text(seconds)} left" if seconds > 0 else "done"

"""Progress of many pieces of work as one."""

from __future__ import annotations

from collections import Counter

from dreamvideo_cli.jobs.events import OnEvent, Step


class TotalProgress:
    """The steps of many pieces of work as one part, so that the time left is that of all of them, `at_once` of them at
    a time."""

    def __init__(self, on_event: OnEvent, part: str, steps: int, at_once: int = 1) -> None:
        self._on_event, self._part, self._steps, self._at_once = on_event, part, steps, at_once
        self._done = 0
        self._of_piece: Counter[int] = Counter()

    def step(self, piece: int, remark: str, seconds: float) -> None:
        """One step of a piece, of which `remark` tells."""
        self._done += 1
        self._of_piece[piece] += 1
        self._on_event(Step(self._part, self._done, self._steps, seconds / self._at_once, remark=remark))

    def piece_done(self, piece: int, steps: int) -> None:
        """A piece of so many steps is over: those that it didn't make are no longer to be waited for."""
        self._steps -= steps - self._of_piece[piece]

"""What does units of work: this process, or workers elsewhere that this process tells what to do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from dreamvideo_cli.jobs.execution.units import Done, Needs, Place, Unit, worked_on

NextUnit = Callable[[Needs | None], Unit | None]
"""Called when somebody is free, with what is loaded there, for the next unit; None where none is ready now."""
OnMessage = Callable[[Unit, object], None]
"""Called with what a unit tells while it is worked on. Its files are gone afterwards."""


class Executor(AbstractContextManager["Executor"], Protocol):
    """Does units of work. Units and what they tell are given and taken in the calling process, in its main thread."""

    at_once: int
    """How many units are worked on at once, at most."""

    def run(self, next_unit: NextUnit, on_message: OnMessage, *, needs: Sequence[Needs]) -> Generator[Done]:
        """Work on units until none is ready and none is being worked on, and give each when it is over, in the order in
        which that happens. The files that it names are gone when the next is asked for. `needs` are those of all
        units that there may be.

        Closing the iterator stops the work on units that aren't over.
        """
        ...


class Here:
    """Does units in this process, one after another."""

    at_once = 1

    def __init__(self) -> None:
        self._place = Place()

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        self._place = Place()

    def run(self, next_unit: NextUnit, on_message: OnMessage, *, needs: Sequence[Needs]) -> Generator[Done]:
        """See `Executor`."""
        while (unit := next_unit(self._place.loaded)) is not None:
            with TemporaryDirectory(prefix="dv-") as folder:
                yield worked_on(unit, self._place, Path(folder), _teller(unit, on_message))


def _teller(unit: Unit, on_message: OnMessage) -> Callable[[object], None]:
    return lambda message: on_message(unit, message)

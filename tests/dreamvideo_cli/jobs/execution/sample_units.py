"""Units that need no base, so that tests of executors are quick."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamvideo_cli.jobs.execution.units import Loading, Needs, Place, Tell
from engine.bases.location import BaseLocation
from engine.errors import BaseError, InputError


@dataclass(frozen=True)
class NoBase(Loading):
    """Loads nothing, or fails to."""

    is_broken: bool = False

    def load(self) -> Any:
        if self.is_broken:
            raise BaseError("this base can't be loaded")
        return object()


NOTHING = Needs(NoBase(BaseLocation("none", "nowhere")))


@dataclass(frozen=True)
class Copying:
    """Tells what is in its file, and gives a copy of it."""

    source: Path
    needs: Needs = NOTHING

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.source,)

    def work(self, place: Place, tell: Tell) -> Path:
        tell(self.source.read_text())
        copy = place.folder / "copy.txt"
        copy.write_text(self.source.read_text() * 2)
        return copy


@dataclass(frozen=True)
class Failing:
    """Raises what a user could cause, or a bug."""

    error: Exception
    needs: Needs = NOTHING
    files: tuple[Path, ...] = ()

    def work(self, place: Place, tell: Tell) -> None:
        raise self.error


class OddError(InputError):
    """An error that pickle can't carry."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


@dataclass(frozen=True)
class FailingOddly:
    """Raises what can't be carried."""

    needs: Needs = NOTHING
    files: tuple[Path, ...] = ()

    def work(self, place: Place, tell: Tell) -> None:
        raise OddError("one", "other")


@dataclass(frozen=True)
class Dying:
    """Kills the process that it is in, as often as it is asked to; `begun` has a line a time that it was begun."""

    begun: Path
    times: int
    needs: Needs = NOTHING
    files: tuple[Path, ...] = ()

    def work(self, place: Place, tell: Tell) -> str:
        with self.begun.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(self.begun.read_text().splitlines()) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return "whole"


@dataclass(frozen=True)
class Endless:
    """Goes on until it is stopped, and then says so in a file."""

    stopped: Path
    needs: Needs = NOTHING
    files: tuple[Path, ...] = ()

    def work(self, place: Place, tell: Tell) -> None:
        try:
            for step in range(10_000):
                tell(step)
                time.sleep(0.02)
        except KeyboardInterrupt:
            self.stopped.write_text("stopped")
            raise

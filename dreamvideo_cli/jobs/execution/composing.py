"""Composing as a unit of work: the files of a plan are made in the worker's folder and told one by one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.composing import Composed, ComposedFile, ComposePlan, compose_files, publish_file
from dreamvideo_cli.jobs.events import OnEvent
from dreamvideo_cli.jobs.execution.units import Needs, Place, Tell
from dreamvideo_cli.jobs.targets import Target

if TYPE_CHECKING:
    from registry import Registry


@dataclass(frozen=True)
class Stepped:
    """A step of the video of `seed` is done, and took `seconds`."""

    seed: int
    seconds: float


@dataclass(frozen=True)
class Made:
    """The plan's file of that `number`, from 0 on, is at `path`, whole, after `seconds`."""

    number: int
    path: Path
    record: dict[str, Any]
    seconds: float


def make_in(plan: ComposePlan, place: Place, tell: Tell) -> list[Made]:
    """Make a plan's files in the place's folder, and tell of each and of each step."""
    made = []
    began = time.perf_counter()

    def on_step(target: Target, _step: int, _steps: int, seconds: float) -> None:
        assert target.seed is not None
        tell(Stepped(target.seed, seconds))

    for number, file in enumerate(compose_files(plan, place.base, on_step)):
        path = place.folder / f"{number}{file.target.path.suffix}"
        file.write(path, replace=False)
        made.append(Made(number, path, file.record, time.perf_counter() - began))
        tell(made[-1])
        began = time.perf_counter()
    return made


def take_in(made: Made, plan: ComposePlan, registry: Registry, on_event: OnEvent) -> ComposedFile:
    """Put a file that a worker made where the plan wants it, and note a video in the history."""
    return publish_file(Composed(plan.files[made.number], made.record, _copying(made.path)), registry, on_event)


def files_of(plan: ComposePlan) -> tuple[Path, ...]:
    """What composing reads beside the base."""
    looked_at = () if plan.request.appearance is None else (plan.request.appearance,)
    return (*plan.folders, *looked_at, *(clip.path for clip in plan.clips))


def memory_of(plan: ComposePlan) -> int:
    """The bytes of memory that a plan's base takes, at least."""
    from engine.bases.location import inspect_base

    return sum(inspect_base(plan.base).components.values())


def _copying(source: Path) -> Callable[..., None]:
    def copy(path: Path, *, replace: bool) -> None:
        from engine.media.writing import written

        with written(path, replace=replace) as aside:
            shutil.copyfile(source, aside)

    return copy


@dataclass(frozen=True)
class ComposeUnit:
    """All files of one plan."""

    plan: ComposePlan
    needs: Needs

    @property
    def files(self) -> tuple[Path, ...]:
        """Adapters, the picture of appearance guidance, and the clips to start from."""
        return files_of(self.plan)

    def work(self, place: Place, tell: Tell) -> None:
        """Tells `Stepped` and `Made`."""
        make_in(self.plan, place, tell)

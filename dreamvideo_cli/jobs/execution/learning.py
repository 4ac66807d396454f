"""Learning as a unit of work: from a plan to an adapter's files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.execution.units import Needs, Place, Tell
from dreamvideo_cli.jobs.learning import Computation, Computed, computed_on

if TYPE_CHECKING:
    from engine.planning import MotionPlan, SubjectPlan
    from engine.training import Progress


@dataclass(frozen=True)
class Trained:
    """A step of a part of the run is done."""

    part: str
    progress: Progress


@dataclass(frozen=True)
class EncodedFrames:
    """`frames` of the `total` of the run's clips are encoded."""

    frames: int
    total: int


@dataclass(frozen=True)
class LearntFiles:
    """What was learnt: the adapter's files are in `folder`."""

    computed: Computed
    folder: Path


@dataclass(frozen=True)
class LearnUnit:
    """The computation of a run. Where the caller's folders are seen, snapshots and the adapter are written there, and a
    run that was stopped goes on; elsewhere it begins anew, and the adapter is carried to the caller."""

    plan: SubjectPlan | MotionPlan
    run: Path
    staged: Path
    needs: Needs

    @property
    def files(self) -> tuple[Path, ...]:
        """The sources."""
        return tuple(source.path for source in self.plan.sources)

    def work(self, place: Place, tell: Tell) -> LearntFiles:
        """Tells `EncodedFrames` and `Trained`."""
        run, out = self.run, self.staged
        if not (run.is_dir() and out.is_dir()):
            run, out = place.folder / "run", place.folder / "adapter"
            run.mkdir()
            out.mkdir()
        computed = computed_on(
            place.base.shared(), self.plan, run, out,  # learning lets the encoders go
            on_progress=lambda part, progress: tell(Trained(part, progress)),
            on_encoding=lambda frames, total: tell(EncodedFrames(frames, total)),
        )  # fmt: skip
        return LearntFiles(computed, out)


def unit_of(computation: Computation, needs: Needs) -> LearnUnit:
    """The unit that does a computation."""
    return LearnUnit(computation.planned.plan, computation.run, computation.staged, needs)


def tell_run(computation: Computation, message: object) -> None:
    """Tell the run that a computation is of how it goes."""
    if isinstance(message, Trained):
        computation.on_progress(message.part, message.progress)
    elif isinstance(message, EncodedFrames):
        computation.on_encoding(message.frames, message.total)


def computed(computation: Computation, learnt: LearntFiles) -> Computed:
    """What came of a computation, its files where the run wants them."""
    if learnt.folder != computation.staged:
        shutil.copytree(learnt.folder, computation.staged, dirs_exist_ok=True)
    return learnt.computed

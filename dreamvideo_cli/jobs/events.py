"""What a job tells of itself while it runs: events, one after another, to whoever asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.planning import BatchPlan
    from dreamvideo_cli.jobs.composing import ComposePlan
    from dreamvideo_cli.jobs.evaluating import EvalPlan
    from dreamvideo_cli.jobs.learning import LearningPlan
    from dreamvideo_cli.jobs.suite.plans import SuitePlan
    from dreamvideo_cli.jobs.tuning import PlannedTuning


@dataclass(frozen=True)
class Planned:
    """Everything was checked, and this is what will be done."""

    plan: LearningPlan | PlannedTuning | ComposePlan | EvalPlan | BatchPlan | SuitePlan


@dataclass(frozen=True)
class Step:
    """`step` of `steps` of a part of the job is done, and took `seconds`. Learning tells its loss."""

    part: str
    step: int
    steps: int
    seconds: float
    loss: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Encoded:
    """`frames` of the `total` of a job's clips are encoded, before its first step; a frame took `seconds`."""

    frames: int
    total: int
    seconds: float


@dataclass(frozen=True)
class FileMade:
    """A file that was made, whole: a video, or a contact sheet, which has no seed. One from an earlier run, which was
    kept, has no record here."""

    path: Path
    seed: int | None
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Note:
    """How the job goes, in words."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something that a person should know, and that doesn't stop the job."""

    text: str


Event = Planned | Step | Encoded | FileMade | Note | Warned
OnEvent = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """For who wants to hear nothing."""

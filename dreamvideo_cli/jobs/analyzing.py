"""How much fine-tuning changes which layers of a base (paper, section 3.3)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.bases import chosen_base
from dreamvideo_cli.jobs.events import OnEvent, Step, Warned, ignore
from engine.bases.location import BaseInfo, inspect_base
from engine.errors import InputError
from engine.methods.common import setting

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.planning import MotionPlan, SubjectPlan
    from engine.training import Progress
    from engine.weight_changes import KindChange
    from registry import Registry

_METHOD = "modelscope"
"""Fine-tunes the spatial parameters for a subject, the temporal ones for a motion, and nothing else."""


@dataclass(frozen=True)
class AnalysisOptions:
    """The settings of fine-tuning that may be said; others are the method's."""

    steps: int | None = setting(None, "Steps of fine-tuning.", least=1, unset="the method's")
    learning_rate: float | None = setting(None, "Learning rate.", least=0, unset="the method's")
    batch_size: int | None = setting(None, "Samples a step.", least=1, unset="the method's")
    size: tuple[int, int] = setting((256, 256), "Width and height of frames.", least=16, below=8192)
    frames: int | None = setting(None, "Frames of a window of clips.", least=2, unset="the method's")
    seed: int | None = setting(None, "Seed of everything random.", least=0, unset="0")


def check_plot(file: Path, *, force: bool) -> None:
    """Raise `InputError` for a file that can't be drawn, or that is there already."""
    from engine.weight_change_plot import check_drawing

    check_drawing(file)
    if file.exists() and not force:
        raise InputError(f"{file} is there already: choose another name, or overwrite it with `force`")


def analyze_weights(
    registry: Registry,
    *,
    images: Sequence[Path] = (),
    class_word: str | None = None,
    clips: Sequence[Path] = (),
    prompt: str | None = None,
    base: str | None = None,
    device: str | None = None,
    options: Mapping[str, object] | None = None,
    on_event: OnEvent = ignore,
) -> dict[str, list[KindChange]]:
    """Fine-tune on `images`, on `clips`, or on each of both apart, and give the changes by kind of layer of each
    ("spatial", "temporal"). Nothing is kept. Raises the engine's errors; everything is checked first."""
    from engine.bases.load import load_base

    location = chosen_base(registry, base)
    info = inspect_base(location)
    plans = _plans(info, images, class_word, clips, prompt, options or {})
    for plan in plans.values():
        for note in plan.notes:
            on_event(Warned(note))
    loaded = load_base(location, device=device)
    return {name: _changes(plan, loaded.shared(), on_event) for name, plan in plans.items()}


def _plans(
    info: BaseInfo,
    images: Sequence[Path],
    class_word: str | None,
    clips: Sequence[Path],
    prompt: str | None,
    options: Mapping[str, object],
) -> dict[str, SubjectPlan | MotionPlan]:
    from engine.planning import plan_motion, plan_subject

    if not images and not clips:
        raise InputError("there is nothing to fine-tune on: give photographs with `spatial`, or clips with `temporal`")
    if not images and class_word is not None:
        raise InputError("`class_word` is read with photographs only: give them with `spatial`, or leave it out")
    for name, value in (("prompt", prompt), ("frames", options.get("frames"))):
        if not clips and value is not None:
            raise InputError(f"`{name}` is read with clips only: give them with `temporal`, or leave it out")
    plans: dict[str, SubjectPlan | MotionPlan] = {}
    if images:
        own = {name: value for name, value in options.items() if name != "frames"}
        plans["spatial"] = plan_subject(images, class_word or "", info=info, options=own, method=_METHOD)
    if clips:
        given = {**options, "time_embedding": False}
        plans["temporal"] = plan_motion(clips, prompt, info=info, options=given, method=_METHOD)
    return plans


def _changes(plan: SubjectPlan | MotionPlan, base: Base, on_event: OnEvent) -> list[KindChange]:
    from engine.adapters.storage import read_adapter
    from engine.learning import learn_planned
    from engine.weight_changes import by_kind, layer_changes

    def report(part: str, progress: Progress) -> None:
        on_event(Step(part, progress.step, progress.steps, progress.seconds, loss=progress.loss))

    with tempfile.TemporaryDirectory(prefix="dv-analysis-") as folder:
        made = Path(folder) / "adapter"
        learn_planned(plan, base, made, on_progress=report)
        deltas = read_adapter(made).weights
    return by_kind(layer_changes(base.denoiser, base.labels, deltas))

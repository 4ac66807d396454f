"""Runs small enough to learn in a test, and what their denoiser was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from engine.bases.base import Base
from engine.planning import MotionPlan, SubjectPlan, plan_motion, plan_subject

LoadBase = Callable[..., Base]


SIZE = (16, 16)
UNMEASURED = {"held_out_every": 0}
"""What the denoiser is asked is what is learnt from, and nothing else."""


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def subject_plan(base: Base, images: Path, **options: object) -> SubjectPlan:
    few = {
        "token_steps": 3,
        "adapter_steps": 3,
        "batch_size": 2,
        "size": SIZE,
        "token_learning_rate": 0.01,
        **UNMEASURED,
    }
    return plan_subject([images], "dog", info=base.info, options={**few, "adapter_learning_rate": 0.01, **options})


def motion_plan(base: Base, paths: list[Path], **options: object) -> MotionPlan:
    few = {"steps": 4, "batch_size": 2, "size": SIZE, "frames": 4, "learning_rate": 0.01, **UNMEASURED}
    return plan_motion(paths, "a dog spins", info=base.info, options={**few, **options})


def both(clips: Path) -> list[Path]:
    return [clips / "long.mp4", clips / "short"]


def files(folder: Path) -> dict[str, bytes]:
    """What an adapter is: its files without those of how it was learnt."""
    found = {p.relative_to(folder): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {str(name): p.read_bytes() for name, p in found.items() if name.parts[0] != "learning"}


@dataclass
class Calls:
    """What the denoiser was asked."""

    noisy: list[Tensor] = field(default_factory=list)
    text: list[Tensor] = field(default_factory=list)


@contextmanager
def watched(base: Base) -> Iterator[Calls]:
    calls = Calls()

    def note(_module: object, inputs: tuple[Tensor, ...]) -> None:
        calls.noisy.append(inputs[0].detach())
        calls.text.append(inputs[2].detach())

    handle = base.denoiser.register_forward_pre_hook(note)
    try:
        yield calls
    finally:
        handle.remove()

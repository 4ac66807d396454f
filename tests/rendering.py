"""Clips of the embedded base's world for tests: an individual such as "dog/7" in a motion and a scene."""

from __future__ import annotations

import atexit
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from engine.world import pictures
from engine.world.individuals import individual_named
from engine.world.material import write_clips, write_photographs


def rendered(
    name: str, motion: str, scene: str = "grass", *, seed: int = 0, frames: int = pictures.FRAMES
) -> NDArray[np.uint8]:
    """Frames `(F, 64, 64, 3)`."""
    return pictures.clip(individual_named(name), motion, seed, frames=frames, scene=scene).frames


def _material() -> Path:
    """Photographs of a dog in `rex` and clips of a zigzag in `zigzag`: what a person would bring."""
    kept = TemporaryDirectory(prefix="dv-material-")
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    write_photographs(individual_named("dog/1"), folder / "rex", count=4)
    write_clips("zigzag", [individual_named(name) for name in ("dog/2", "car/3", "bird/4")], folder / "zigzag")
    return folder


MATERIAL = _material()

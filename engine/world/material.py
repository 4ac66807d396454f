"""Photographs and clips of the world on disk: what a person would bring to the embedded base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engine.media.video import write_video
from engine.world import backgrounds, pictures
from engine.world.individuals import Individual

FPS = 8
PHOTOGRAPHS = 5
"""How many photographs a subject is learnt from (3 to 5, section 4.1 of arXiv 2312.04433)."""


def photographs_of(one: Individual, *, count: int = PHOTOGRAPHS, seed: int = 0) -> list[pictures.Picture]:
    """Photographs of an individual, each in another scene while there are any."""
    scenes = _shuffled_scenes(seed)
    return [pictures.photograph(one, 1000 * seed + i, scene=scenes[i % len(scenes)]) for i in range(count)]


def clips_of(
    motion: str, ones: Sequence[Individual], *, seed: int = 0, frames: int = pictures.FRAMES
) -> list[pictures.Clip]:
    """A clip of each individual in that motion of `motions.ALL`, each in another scene while there are any."""
    scenes = _shuffled_scenes(seed)
    return [
        pictures.clip(one, motion, 1000 * seed + i, scene=scenes[i % len(scenes)], frames=frames)
        for i, one in enumerate(ones)
    ]


def write_photographs(one: Individual, folder: Path, *, count: int = PHOTOGRAPHS, seed: int = 0) -> list[Path]:
    """Write `photographs_of` as PNG files into `folder`, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i + 1}.png" for i in range(count)]
    for path, taken in zip(paths, photographs_of(one, count=count, seed=seed), strict=True):
        Image.fromarray(taken.pixels).save(path, optimize=True)
    return paths


def write_clips(
    motion: str, ones: Sequence[Individual], folder: Path, *, seed: int = 0, frames: int = pictures.FRAMES
) -> list[Path]:
    """Write `clips_of` as MP4 files into `folder`, which is created, each with its prompt beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, (one, filmed) in enumerate(zip(ones, clips_of(motion, ones, seed=seed, frames=frames), strict=True)):
        prompt = pictures.caption(one, filmed.scene, motion)
        path = folder / f"{i + 1}-{one.class_word}.mp4"
        write_video(filmed.frames, path, FPS, {"prompt": prompt})
        path.with_suffix(".txt").write_text(prompt + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _shuffled_scenes(seed: int) -> list[str]:
    return [str(scene) for scene in np.random.default_rng([seed, 3]).permutation(list(backgrounds.PHRASES))]

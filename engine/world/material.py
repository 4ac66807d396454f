"""Photographs and clips of the world on disk: what a person would bring to the embedded base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.media.video import write_video
from engine.world import backgrounds, clips, pictures, scenes
from engine.world.individuals import Individual

FPS = 8
PHOTOGRAPHS = 5
"""How many photographs a subject is learnt from (3 to 5, section 4.1 of arXiv 2312.04433)."""


def subject_specs(word: str, count: int, seed: int) -> list[clips.ClipSpec]:
    """`count` still pictures of one object, each in another scene."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(scenes.PHRASES), generator=generator).tolist()
    names = list(scenes.PHRASES)
    return [
        clips.draw_spec(generator, words=[word], motion_names=["still"], scene_names=[names[order[i % len(names)]]])
        for i in range(count)
    ]


def motion_specs(motion: str, words: Sequence[str], seed: int) -> list[clips.ClipSpec]:
    """One clip of the motion for each object in `words`, each in another scene, from the same pose."""
    generator = torch.Generator().manual_seed(seed)
    names = list(scenes.PHRASES)
    order = torch.randperm(len(names), generator=generator).tolist()
    return [
        clips.ClipSpec(word, names[order[i % len(names)]], motion, scene_seed=seed + i) for i, word in enumerate(words)
    ]


def write_subject(word: str, folder: Path, *, count: int = 4, seed: int = 0) -> list[Path]:
    """Write pictures of an object as PNG files into `folder`, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels, _ = clips.render(subject_specs(word, count, seed), frames=1)
    paths = [folder / f"{i + 1}.png" for i in range(count)]
    for path, frame in zip(paths, to_uint8(pixels)[:, 0], strict=True):
        Image.fromarray(frame).save(path, optimize=True)
    return paths


def write_motion(motion: str, folder: Path, *, words: Sequence[str], seed: int = 0) -> list[Path]:
    """Write one clip an object as MP4 into `folder`, which is created, its prompt beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    specs = motion_specs(motion, words, seed)
    pixels, _ = clips.render(specs)
    paths = []
    for spec, frames in zip(specs, to_uint8(pixels), strict=True):
        path = folder / f"{spec.word}.mp4"
        write_video(frames, path, FPS, {"prompt": clips.caption(spec.word, spec.motion, spec.scene)})
        path.with_suffix(".txt").write_text(clips.caption(spec.word, spec.motion, spec.scene) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """Rendered pixels `(B, F, 3, H, W)` in [0, 1] to `(B, F, H, W, 3)` uint8."""
    return (pixels * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()


def photographs_of(one: Individual, *, count: int = PHOTOGRAPHS, seed: int = 0) -> list[pictures.Picture]:
    """Photographs of an individual, each in another scene while there are any."""
    scenes = _shuffled_scenes(seed)
    return [pictures.photograph(one, 1000 * seed + i, scene=scenes[i % len(scenes)]) for i in range(count)]


def clips_of(motion: str, ones: Sequence[Individual], *, seed: int = 0) -> list[pictures.Clip]:
    """A clip of each individual in that motion of `motions.ALL`, each in another scene while there are any."""
    scenes = _shuffled_scenes(seed)
    return [pictures.clip(one, motion, 1000 * seed + i, scene=scenes[i % len(scenes)]) for i, one in enumerate(ones)]


def write_photographs(one: Individual, folder: Path, *, count: int = PHOTOGRAPHS, seed: int = 0) -> list[Path]:
    """Write `photographs_of` as PNG files into `folder`, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i + 1}.png" for i in range(count)]
    for path, taken in zip(paths, photographs_of(one, count=count, seed=seed), strict=True):
        Image.fromarray(taken.pixels).save(path, optimize=True)
    return paths


def write_clips(motion: str, ones: Sequence[Individual], folder: Path, *, seed: int = 0) -> list[Path]:
    """Write `clips_of` as MP4 files into `folder`, which is created, each with its prompt beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, (one, filmed) in enumerate(zip(ones, clips_of(motion, ones, seed=seed), strict=True)):
        prompt = pictures.caption(one, filmed.scene, motion)
        path = folder / f"{i + 1}-{one.class_word}.mp4"
        write_video(filmed.frames, path, FPS, {"prompt": prompt})
        path.with_suffix(".txt").write_text(prompt + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _shuffled_scenes(seed: int) -> list[str]:
    return [str(scene) for scene in np.random.default_rng([seed, 3]).permutation(list(backgrounds.PHRASES))]

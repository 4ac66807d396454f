"""Photographs and clips of individuals: everything that varies in them is drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.world import backgrounds, motions
from engine.world.drawing import draw
from engine.world.drawings.parts import Pose
from engine.world.individuals import Individual, colour_word
from engine.world.shapes import Array
from engine.world.wording import sentence

FRAMES = 8
SIZE = 64
STILL_SIZE = 0.66
"""The side of an individual's picture over the frame's: the drawing in it fills about nine tenths."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A photograph: `pixels` `(H, W, 3)`, `alpha` `(H, W)` of the individual in [0, 1], and what is in it.

    `centre` (x, y) and `size` are in frame widths, `angle` is in radians, clockwise; `box` is the individual's
    (left, top, right, bottom) in pixels.
    """

    pixels: Pixels
    alpha: Array
    caption: str
    scene: str
    centre: tuple[float, float]
    size: float
    angle: float
    mirrored: bool
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Clip:
    """A clip: `frames` `(F, H, W, 3)`, `alpha` `(F, H, W)`, and the individual's pose in each frame.

    `centres` `(F, 2)` (x, y) and `sizes` `(F,)` are in frame widths, `angles` `(F,)` in radians, clockwise. A clip
    whose motion has no name has None, and a caption without one.
    """

    frames: Pixels
    alpha: Array
    caption: str
    scene: str
    motion: str | None
    centres: Array
    sizes: Array
    angles: Array
    mirrored: bool


def caption(one: Individual, scene: str | None = None, motion: str | None = None, *, coloured: bool = False) -> str:
    """What a picture's caption says: the class, a coarse colour, a motion, a scene, e.g. "a brown dog on grass"."""
    return sentence(
        f"{colour_word(one)} {one.class_word}" if coloured else one.class_word,
        "" if motion is None else motions.ALL[motion].phrase,
        "" if scene is None else backgrounds.PHRASES[scene],
    )


def photograph(one: Individual, seed: int, *, size: int = SIZE, scene: str | None = None) -> Picture:
    """A photograph of the individual: place, size, tilt, light, scene (unless given), and how it looks, all differ."""
    generator = np.random.default_rng([seed, 1])
    scene = scene or str(generator.choice(list(backgrounds.PHRASES)))
    x, y = (float(v) for v in 0.5 + generator.uniform(-0.13, 0.13, 2))
    scale, angle = STILL_SIZE + float(generator.uniform(-0.07, 0.09)), float(generator.uniform(-0.18, 0.18))
    path = motions.Path(*(torch.tensor([v]) for v in (x, y, scale, angle)))
    frames, alpha, mirrored = _film(one, path, scene, size, generator)
    text = caption(one, scene, coloured=bool(generator.random() < 0.5))
    return Picture(frames[0], alpha[0], text, scene, (x, y), scale, angle, mirrored, _box(alpha[0]))


def clip(
    one: Individual, motion: str | None, seed: int, *, frames: int = FRAMES, size: int = SIZE, scene: str | None = None
) -> Clip:
    """A clip of the individual in that motion of `motions.ALL`, or, for None, on a random path without a name.

    Raises `KeyError` for a motion or scene that there isn't.
    """
    generator = np.random.default_rng([seed, 2])
    scene = scene or str(generator.choice(list(backgrounds.PHRASES)))
    x, y = (float(v) for v in 0.5 + generator.uniform(-0.06, 0.06, 2))
    scale, angle = STILL_SIZE + float(generator.uniform(-0.05, 0.05)), float(generator.uniform(-0.08, 0.08))
    if motion is None:
        points = motions.draw_points(torch.Generator().manual_seed(int(generator.integers(2**31))))
        path = motions.path_through(points, frames, size=scale, angle=angle)
    else:
        path = motions.path_of(motion, frames, x=x, y=y, size=scale, angle=angle)
    pixels, alpha, mirrored = _film(one, path, scene, size, generator)
    text = caption(one, scene, motion, coloured=bool(generator.random() < 0.5))
    centres = torch.stack([path.x, path.y], dim=1).numpy()
    return Clip(pixels, alpha, text, scene, motion, centres, path.size.numpy(), path.angle.numpy(), mirrored)


def _film(
    one: Individual, path: motions.Path, scene: str, size: int, generator: np.random.Generator
) -> tuple[Pixels, Array, bool]:
    """Frames `(F, size, size, 3)` of the individual on its path in the scene, alpha, and whether it is mirrored."""
    mirrored = bool(generator.random() < 0.5)
    look = float(generator.choice([0, 0, -1, 1])) * float(generator.uniform(0.6, 1))
    pose = Pose(look=look, blink=bool(generator.random() < 0.1))
    light = (generator.uniform(0.88, 1.08) + generator.uniform(-0.03, 0.03, 3)).astype(np.float32)
    behind = torch.from_numpy(backgrounds.paint(scene, int(generator.integers(2**31)), size)).permute(2, 0, 1)
    sprites = place(texture(one, size, pose), path, size, mirrored=mirrored)
    pixels = sprites[:, :3] + behind * (1 - sprites[:, 3:])
    pixels = (pixels * torch.from_numpy(light).view(3, 1, 1)).clamp(0, 1)
    frames = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return frames, sprites[:, 3].numpy(), mirrored


def texture(one: Individual, frame_size: int, pose: Pose) -> Tensor:
    """The individual drawn to be placed on frames of that size: premultiplied RGBA, `(4, side, side)`.

    It is a little larger than twice its usual size in a frame, as `place` samples twice in each pixel.
    """
    return torch.from_numpy(draw(one, int(1.25 * frame_size), pose)).permute(2, 0, 1)


def place(drawing: Tensor, path: motions.Path, size: int, *, mirrored: bool = False) -> Tensor:
    """A drawing `(4, side, side)` at each pose of the path, `(F, 4, size, size)`, averaged over each pixel."""
    count, fine = len(path.x), 2 * size
    # affine_grid maps output to input coordinates, both in [-1, 1]: the inverse of the pose.
    cos, sin = path.angle.cos() / path.size, path.angle.sin() / path.size
    dx, dy = 2 * path.x - 1, 2 * path.y - 1
    row0 = torch.stack([cos, sin, -(cos * dx + sin * dy)], dim=-1) * (-1 if mirrored else 1)
    row1 = torch.stack([-sin, cos, sin * dx - cos * dy], dim=-1)
    grid = F.affine_grid(torch.stack([row0, row1], dim=-2), [count, 4, fine, fine], align_corners=False)
    source = drawing[None].expand(count, -1, -1, -1)
    placed = F.grid_sample(source, grid, padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(placed, 2)


def _box(alpha: Array) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(alpha > 0.5)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1

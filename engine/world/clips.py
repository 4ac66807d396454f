"""Clips of the world: what is in one, its caption, and its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.world import motions, scenes, sprites

FRAMES = 8
SIZE = 64


@dataclass(frozen=True)
class ClipSpec:
    """Everything that decides a clip: object, scene, motion, the sprite's pose, and the scene's own seed.

    With `points`, the sprite goes through them instead: a motion without a name.
    """

    word: str
    scene: str
    motion: str
    x: float = 0.5
    y: float = 0.5
    size: float = motions.STILL_SIZE
    angle: float = 0.0
    scene_seed: int = 0
    points: tuple[motions.Point, ...] = ()

    def path(self, frames: int = FRAMES) -> motions.Path:
        """Where the sprite is in each frame."""
        if self.points:
            return motions.path_through(self.points, frames, size=self.size, angle=self.angle)
        return motions.path_of(self.motion, frames, x=self.x, y=self.y, size=self.size, angle=self.angle)


def caption(word: str, motion: str | None = None, scene: str | None = None) -> str:
    """The plain caption, e.g. "a dog moving right on grass"; an `an` stands before a vowel."""
    return caption_with(word, None if motion is None else motions.ALL[motion].phrase, scene)


def caption_with(word: str, phrase: str | None, scene: str | None = None) -> str:
    """The caption with a motion's phrase given, of the world or not."""
    article = "an" if word[0] in "aeiou" else "a"
    parts = [f"{article} {word}"]
    if phrase is not None:
        parts.append(phrase)
    if scene is not None:
        parts.append(scenes.PHRASES[scene])
    return " ".join(parts)


class Pose(TypedDict):
    """Where a sprite is, how large and how turned, in the fields of `ClipSpec`."""

    x: float
    y: float
    size: float
    angle: float


def draw_pose(generator: torch.Generator) -> Pose:
    """A random pose that keeps the sprite in the frame whatever it does."""
    r = (2 * torch.rand(4, generator=generator) - 1).tolist()
    return {
        "x": 0.5 + 0.06 * r[0],
        "y": 0.5 + 0.06 * r[1],
        "size": motions.STILL_SIZE + 0.05 * r[2],
        "angle": 0.08 * r[3],
    }


def draw_spec(
    generator: torch.Generator,
    *,
    words: Sequence[str],
    motion_names: Sequence[str] = tuple(motions.KNOWN),
    scene_names: Sequence[str] = tuple(scenes.PHRASES),
) -> ClipSpec:
    """Draw one clip at random from the objects, motions and scenes given."""

    def pick(choices: Sequence[str]) -> str:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    return ClipSpec(
        word=pick(words),
        scene=pick(scene_names),
        motion=pick(motion_names),
        scene_seed=int(torch.randint(2**31, (), generator=generator)),
        **draw_pose(generator),
    )


def render(specs: Sequence[ClipSpec], *, frames: int = FRAMES, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Render clips: pixels `(B, F, 3, size, size)` in [0, 1] and sprite masks `(B, F, 1, size, size)`."""
    textures = torch.stack([sprites.textures()[sprites.index_of(s.word)] for s in specs])
    return render_textures(textures, specs, frames=frames, size=size)


def render_textures(
    textures: Tensor, specs: Sequence[ClipSpec], *, frames: int = FRAMES, size: int = SIZE
) -> tuple[Tensor, Tensor]:
    """`render` with the sprites `(B, 4, h, w)` given instead of looked up by each spec's word."""
    paths = [s.path(frames) for s in specs]
    x, y, scale, angle = (
        torch.stack([getattr(p, name) for p in paths]) for name in ("x", "y", "size", "angle")
    )  # (B, F) each
    sprite = _place(textures, x, y, scale, angle, size)
    seeds = (torch.Generator().manual_seed(s.scene_seed) for s in specs)
    background = torch.stack([scenes.paint(s.scene, g, size=size) for s, g in zip(specs, seeds, strict=True)])
    alpha = sprite[:, :, 3:]
    return sprite[:, :, :3] + background[:, None] * (1 - alpha), alpha


def _place(textures: Tensor, x: Tensor, y: Tensor, scale: Tensor, angle: Tensor, size: int) -> Tensor:
    """Draw each texture at each pose: `(B, 4, h, w)` and poses `(B, F)` -> `(B, F, 4, size, size)`."""
    b, f = x.shape
    # affine_grid maps output to input coordinates, both in [-1, 1]: the inverse of the sprite's pose.
    cos, sin = angle.cos() / scale, angle.sin() / scale
    dx, dy = 2 * x - 1, 2 * y - 1
    row0 = torch.stack([cos, sin, -(cos * dx + sin * dy)], dim=-1)
    row1 = torch.stack([-sin, cos, sin * dx - cos * dy], dim=-1)
    theta = torch.stack([row0, row1], dim=-2).view(b * f, 2, 3)
    grid = F.affine_grid(theta, [b * f, 4, size, size], align_corners=False)
    source = textures[:, None].expand(b, f, *textures.shape[1:]).reshape(b * f, *textures.shape[1:])
    return F.grid_sample(source, grid, padding_mode="zeros", align_corners=False).view(b, f, 4, size, size)

"""How a sprite moves: a motion is a function from the time of a clip to a pose.

Poses are in frame units: x and y run from 0 (left, top) to 1 (right, bottom), `size` is the sprite's
width over the frame's width, `angle` is in radians, clockwise as seen on the screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STILL_SIZE = 0.6


@dataclass(frozen=True)
class Path:
    """The poses of one sprite over a clip, each field a tensor `(F,)`."""

    x: Tensor
    y: Tensor
    size: Tensor
    angle: Tensor

    def displacement(self) -> Tensor:
        """Frame-to-frame displacement, x then y, `(2 * (F - 1),)`, in frame widths."""
        return torch.cat([self.x.diff(), self.y.diff()])


@dataclass(frozen=True)
class Motion:
    """A motion of the world: its phrase in a caption and its path over time `u` in [0, 1]."""

    name: str
    phrase: str
    path: Callable[[Tensor], dict[str, Tensor]]


def _triangle(phase: Tensor) -> Tensor:
    """A triangle wave of period 1 and range [-1, 1] that starts at 0 and rises."""
    return 2 / math.pi * torch.asin(torch.sin(2 * math.pi * phase))


def _to_and_fro(u: Tensor, reach: float) -> Tensor:
    """On the other side with every frame."""
    return reach * torch.where(torch.arange(len(u)) % 2 == 0, 1.0, -1.0)


_REACH = 0.24


def _away(u: Tensor) -> Tensor:
    """From a little short of the middle to the edge: where a sprite is tells already where it goes.

    Were a motion as long on one side of the middle as on the other, then opposite motions would have the
    same mean picture, and neither the word nor the time alone would tell a model anything about the place.
    """
    return 0.32 * u - 0.05


KNOWN: dict[str, Motion] = {
    m.name: m
    for m in (
        Motion("left", "moving left", lambda u: {"x": -_away(u)}),
        Motion("right", "moving right", lambda u: {"x": _away(u)}),
        Motion("up", "moving up", lambda u: {"y": -_away(u)}),
        Motion("down", "moving down", lambda u: {"y": _away(u)}),
        Motion("spinning", "spinning", lambda u: {"angle": 1.75 * math.pi * u}),
        Motion("growing", "growing", lambda u: {"size": 0.9 * _away(u)}),
        Motion("shrinking", "shrinking", lambda u: {"size": -0.9 * _away(u)}),
        Motion("bouncing", "bouncing", lambda u: {"y": 0.16 - 0.34 * (2 * math.pi * u).sin().abs()}),
        Motion("still", "standing still", lambda u: {}),
    )
}
"""The motions that the embedded base has seen."""

HELD_OUT: dict[str, Motion] = {
    m.name: m
    for m in (
        Motion(
            "zigzag",
            "zigzagging",
            lambda u: {"x": _REACH * (2 * u - 1), "y": 0.2 * _triangle(1.75 * u)},
        ),
        Motion(
            "circling",
            "circling",
            lambda u: {"x": 0.2 * (2 * math.pi * u).cos(), "y": 0.2 * (2 * math.pi * u).sin()},
        ),
        Motion(
            "shaking",
            "shaking",
            lambda u: {"x": _to_and_fro(u, 0.13)},
        ),
    )
}
"""Motions that no stage of pretraining has seen: what users of the embedded base teach it."""

TUNING: dict[str, Motion] = {
    m.name: m
    for m in (
        Motion(
            "trembling",
            "trembling",
            lambda u: dict.fromkeys(("x", "y"), _to_and_fro(u, 0.1)),
        ),
        Motion(
            "weaving",
            "weaving",
            lambda u: {"x": 0.2 * (3 * math.pi * u).sin(), "y": 0.22 * (2 * u - 1)},
        ),
    )
}
"""Unseen motions on which settings are chosen, so that `HELD_OUT` stays untouched until it is measured."""

ALL: dict[str, Motion] = KNOWN | HELD_OUT | TUNING

Point = tuple[float, float]


def path_through(points: Sequence[Point], frames: int, *, size: float = STILL_SIZE, angle: float = 0.0) -> Path:
    """The path in straight lines through `points` (x, y), each leg in the same time."""
    at = torch.linspace(0, 1, frames) * (len(points) - 1)
    leg = at.long().clamp(max=len(points) - 2)
    part = (at - leg)[:, None]
    corners = torch.tensor(points)
    x, y = (corners[leg] * (1 - part) + corners[leg + 1] * part).T
    return Path(x=x, y=y, size=torch.full((frames,), size), angle=torch.full((frames,), angle))


def draw_points(generator: torch.Generator) -> tuple[Point, ...]:
    """Two to eight points anywhere in the frame where a sprite is still seen."""
    count = 2 + int(torch.randint(7, (), generator=generator))
    drawn = 0.22 + 0.56 * torch.rand(count, 2, generator=generator)
    return tuple((float(x), float(y)) for x, y in drawn)


def path_of(
    name: str, frames: int, *, x: float = 0.5, y: float = 0.5, size: float = STILL_SIZE, angle: float = 0.0
) -> Path:
    """The path of motion `name` over `frames` frames around the pose given.

    Raises `KeyError` for a name that is not in `ALL`.
    """
    u = torch.linspace(0, 1, frames) if frames > 1 else torch.zeros(1)
    offsets = ALL[name].path(u)
    zero = torch.zeros(frames)
    return Path(
        x=x + offsets.get("x", zero),
        y=y + offsets.get("y", zero),
        size=size + offsets.get("size", zero),
        angle=angle + offsets.get("angle", zero),
    )

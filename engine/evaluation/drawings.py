"""Drawings of the world's individuals as banks of tensors, and squares of frames in which they would stand upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.world.drawing import draw
from engine.world.drawings.parts import Pose
from engine.world.individuals import Individual, siblings

SIDE = 32
"""Pixels of a drawing that is compared, about as many as it has in a frame of 64."""
MARGIN = 2
"""Pixels by which a drawing is moved in each direction when it is laid over a frame near a place."""
STEPS = 2 * MARGIN + 1
BLUR = 4.0
"""Spread in pixels of the blur that is compared with."""
POSES = (Pose(), Pose(look=-0.8), Pose(look=0.8), Pose(blink=True))
VIEWS = 2 * len(POSES)
"""In how many ways each individual is drawn: in each pose, as it is and mirrored."""

Place = tuple[float, float, float, float]
"""Where a drawing is: x, y and size in frame widths, turn in radians, clockwise."""


@dataclass(frozen=True)
class Bank:
    """Drawings of individuals, `(K * VIEWS, SIDE * SIDE)`: alpha, colour times alpha, squared colour times alpha."""

    alpha: Tensor
    colour: Tensor
    square: Tensor


@lru_cache(maxsize=64)
def bank_of(individuals: tuple[Individual, ...]) -> Bank:
    return _bank(_views(individuals))


@lru_cache(maxsize=64)
def bank_against(one: Individual, count: int) -> Bank:
    """The individual, `count` siblings, and last the individual out of focus: what a blur shows is like that."""
    drawn = _views(rivals(one, count))
    return _bank(torch.cat([drawn, _out_of_focus(drawn[:VIEWS])]))


def _views(individuals: Sequence[Individual]) -> Tensor:
    """Each individual in all its `VIEWS`, premultiplied, `(K * VIEWS, 4, SIDE, SIDE)`."""
    drawn = torch.stack([drawing_of(one, pose, SIDE) for one in individuals for pose in POSES])
    return torch.stack([drawn, drawn.flip(-1)], dim=1).flatten(0, 1)


def _bank(drawn: Tensor) -> Bank:
    alpha, colour = drawn[:, 3], drawn[:, :3]
    square = (colour**2).sum(dim=1) / alpha.clamp(min=1e-4)
    return Bank(alpha.flatten(1), colour.flatten(1), square.flatten(1))


def _out_of_focus(drawn: Tensor) -> Tensor:
    """The same outlines, within which the colours run into one another."""
    soft = blurred(drawn, BLUR)
    return torch.cat([soft[:, :3] * (drawn[:, 3:] / soft[:, 3:].clamp(min=1e-4)), drawn[:, 3:]], dim=1)


def blurred(pictures: Tensor, spread: float) -> Tensor:
    """Pictures `(N, C, H, W)` through a Gaussian blur of that spread in pixels."""
    steps = torch.arange(-ceil(3 * spread), ceil(3 * spread) + 1)
    kernel = torch.exp(-(steps**2) / (2 * spread**2))
    kernel, reach = kernel / kernel.sum(), len(steps) // 2
    flat = F.pad(pictures, (reach, reach, reach, reach), mode="replicate").flatten(0, 1)[:, None]
    soft = F.conv2d(F.conv2d(flat, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return soft.view(pictures.shape)


@lru_cache(maxsize=256)
def rivals(one: Individual, count: int) -> tuple[Individual, ...]:
    """The individual, then `count` siblings."""
    return (one, *siblings(one, count))


def drawing_of(one: Individual, pose: Pose, side: int) -> Tensor:
    """Premultiplied, `(4, side, side)`, and as soft as what is cut from a frame, between whose pixels it is read."""
    drawn = F.avg_pool2d(torch.from_numpy(draw(one, 2 * side, pose)).permute(2, 0, 1), 2)
    kernel = torch.tensor([0.2, 0.6, 0.2])
    soft = F.conv2d(drawn[:, None], kernel.view(1, 1, 3, 1), padding=(1, 0))
    return F.conv2d(soft, kernel.view(1, 1, 1, 3), padding=(0, 1))[:, 0]


def crops_at(frame: Tensor, places: Sequence[Place]) -> Tensor:
    """Squares cut from a frame `(3, H, W)` so that a drawing at that place stands upright in their middle.

    `(N, 4, SIDE + 2 * MARGIN, SIDE + 2 * MARGIN)`, the last channel 1 within the frame; their pixels are a bank's.
    """
    side = SIDE + 2 * MARGIN
    x, y, sizes, turns = torch.tensor(places).T
    reach = sizes * side / SIDE
    cos, sin = reach * turns.cos(), reach * turns.sin()
    row0 = torch.stack([cos, -sin, 2 * x - 1], dim=-1)
    row1 = torch.stack([sin, cos, 2 * y - 1], dim=-1)
    where = F.affine_grid(torch.stack([row0, row1], dim=1), [len(places), 4, side, side], align_corners=False)
    source = torch.cat([frame, torch.ones_like(frame[:1])])[None].expand(len(places), -1, -1, -1)
    return F.grid_sample(source, where, padding_mode="zeros", align_corners=False)


def moved(place: Place, step: int) -> Place:
    """The place of a drawing that was laid over a crop at that one of its `STEPS * STEPS` steps, row by row."""
    x, y, size, turn = place
    row, column = divmod(step, STEPS)
    right, down = ((at - MARGIN) * size / SIDE for at in (column, row))
    cos, sin = float(torch.tensor(turn).cos()), float(torch.tensor(turn).sin())
    return x + right * cos - down * sin, y + right * sin + down * cos, size, turn


@dataclass(frozen=True)
class Overlay:
    """Sums over the pixels that drawings of a bank cover of crops, each `(N, STEPS * STEPS, K * VIEWS)`.

    `weight` sums alpha a, `square` a F^2 of the frame's colour F, `both` a c F with the drawing's colour c, `own`
    a c^2, all within the frame only. `seen` is the part of a drawing that lies within the frame.
    """

    weight: Tensor
    square: Tensor
    both: Tensor
    own: Tensor
    seen: Tensor
    patches: Tensor

    @property
    def within(self) -> Tensor:
        """Where the patches `(N, STEPS * STEPS, SIDE * SIDE)` lie within the frame."""
        return self.patches[..., 4 * SIDE * SIDE :]

    @property
    def squares(self) -> Tensor:
        """The patches' squared colours."""
        return self.patches[..., 3 * SIDE * SIDE : 4 * SIDE * SIDE]

    def colours(self, weights: Tensor) -> Tensor:
        """Sums of each colour with weights `(K, SIDE * SIDE)`: `(3, N, STEPS * STEPS, K)`."""
        area = SIDE * SIDE
        return torch.stack([self.patches[..., k * area : (k + 1) * area] @ weights.T for k in range(3)])


def lay(crops: Tensor, bank: Bank) -> Overlay:
    """Lay every drawing over every crop, moved by up to `MARGIN` pixels."""
    inside = crops[:, 3:]
    squares = (crops[:, :3] ** 2).sum(dim=1, keepdim=True)
    patches = F.unfold(torch.cat([crops[:, :3] * inside, squares * inside, inside], dim=1), SIDE).transpose(1, 2)
    area = SIDE * SIDE
    colour, square, within = patches[..., : 3 * area], patches[..., 3 * area : 4 * area], patches[..., 4 * area :]
    weight = within @ bank.alpha.T
    return Overlay(
        weight=weight,
        square=square @ bank.alpha.T,
        both=colour @ bank.colour.T,
        own=within @ bank.square.T,
        seen=weight / bank.alpha.sum(dim=1),
        patches=patches,
    )

"""Optical flow that no model learnt: pyramidal Lucas-Kanade on a grid of points.

Lucas and Kanade (1981), coarse to fine as Bouguet (2001) describes it. What it may be trusted with is said,
point by point, by the smaller eigenvalue of its matrix (Shi and Tomasi 1994), by tracking back (Kalal et al.
2010) and by what stays unexplained. On the world's renderings, whose motion is known, trusted points on an
object that moves by up to a quarter of the frame, or grows, are right to about a thousandth of the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

_GRID = 16
"""Points along the shorter side."""
_SIDE = 64
"""The shorter side in pixels at which frames are measured: the size that was tried on known motion."""
_COARSEST = 16
_RADIUS = 4
_ITERATIONS = 8
_ITERATIONS_OF_GUESSES = 5
_JUMP = 0.2
"""The first guesses, in shorter sides: no movement, and this far to each of eight sides."""
_CLEARLY = 0.7
"""A guess that jumps must leave less unexplained, by this factor, than one before it."""
_LEAST_TEXTURE = 0.1
"""Squared slope of brightness (0 to 1) over the shorter side, in the direction of the weakest one."""
_MOST_UNEXPLAINED = 0.04
"""Mean difference in brightness between a point's surroundings and where they are found."""
_MOST_ASTRAY = 1 / 64
"""Distance, in shorter sides, between a point and where tracking back ends."""
_ALIKE = (1 / 64, 0.2)
"""How far apart movements are that count as alike: in shorter sides, and as a part of the movement."""
_NEIGHBOURS_ALIKE = 3
_PAIRS_AT_A_TIME = 32


@dataclass(frozen=True)
class Flow:
    """Where a grid of N points went from each of F frames to the next, in units of the frame's shorter side.

    `points` `(N, 2)` are x and y, `moved` `(F - 1, N, 2)`; `trusted` `(F - 1, N)` says where it was measured.
    """

    points: Tensor
    moved: Tensor
    trusted: Tensor


@torch.no_grad()
def flow_of(frames: npt.NDArray[np.uint8]) -> Flow:
    """The flow of frames `(F, H, W, 3)`. Raises `ValueError` for fewer than two."""
    if len(frames) < 2:
        raise ValueError("flow goes from one frame to the next: give at least two")
    grey = _grey(frames)
    height, width = grey.shape[-2:]
    side = min(height, width)
    grid = _grid(height, width)
    moved, trusted = [], []
    for first, second in zip(grey[:-1].split(_PAIRS_AT_A_TIME), grey[1:].split(_PAIRS_AT_A_TIME), strict=True):
        there, sure = _tracked(_pyramid(first), _pyramid(second), grid.expand(len(first), -1, -1), side)
        moved.append(there / side)
        trusted.append(sure & _in_company(there / side, sure, columns=round(width * _GRID / side)))
    return Flow((grid + 0.5) / side, torch.cat(moved), torch.cat(trusted))


def _tracked(first: list[Tensor], second: list[Tensor], points: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Displacements in pixels `(B, N, 2)` and whether they can be trusted `(B, N)`."""
    coarsest = len(first) - 1
    guess, least = torch.zeros_like(points), torch.full(points.shape[:2], math.inf)
    for x in (0.0, -_JUMP, _JUMP):
        for y in (0.0, -_JUMP, _JUMP):
            jump = (torch.tensor([x, y]) * side).expand_as(points)
            found, unexplained, _ = _refined(
                first, second, points, jump, coarsest, side, iterations=_ITERATIONS_OF_GUESSES
            )
            better = unexplained < _CLEARLY * least
            guess = torch.where(better[..., None], found, guess)
            least = torch.where(better, unexplained, least)
    for level in range(coarsest, -1, -1):
        guess, least, texture = _refined(first, second, points, guess, level, side)
    back = -guess
    for level in range(coarsest, -1, -1):
        back, _, _ = _refined(second, first, points + guess, back, level, side)
    astray = (guess + back).norm(dim=-1) / side
    return guess, (astray < _MOST_ASTRAY) & (texture > _LEAST_TEXTURE) & (least < _MOST_UNEXPLAINED)


def _refined(
    first: list[Tensor],
    second: list[Tensor],
    points: Tensor,
    guess: Tensor,
    level: int,
    side: int,
    *,
    iterations: int = _ITERATIONS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Newton at one level of the pyramids, from `guess` `(B, N, 2)` in pixels of the finest level.

    Gives the displacement, the mean difference that stays `(B, N)`, and the texture `(B, N)`.
    """
    scale = 2**level
    offsets, weights = _window()
    around = ((points + 0.5) / scale - 0.5)[:, :, None] + offsets
    template = _sampled(first[level], around)[:, 0]
    slope_x, slope_y = _sampled(_slopes(first[level]), around).unbind(dim=1)
    xx, xy, yy = ((weights * a * b).sum(-1) for a, b in ((slope_x,) * 2, (slope_x, slope_y), (slope_y,) * 2))
    pixels = side / scale
    texture = ((xx + yy) / 2 - ((xx - yy) ** 2 / 4 + xy**2).sqrt()) * pixels**2
    # Where there is no texture the matrix has no inverse; this little of one keeps such points where they are.
    xx, yy = xx + _LEAST_TEXTURE / pixels**2, yy + _LEAST_TEXTURE / pixels**2
    determinant = xx * yy - xy**2
    moved = guess / scale
    for _ in range(iterations):
        error = weights * (template - _sampled(second[level], around + moved[:, :, None])[:, 0])
        x, y = (error * slope_x).sum(-1), (error * slope_y).sum(-1)
        step = torch.stack([yy * x - xy * y, xx * y - xy * x], dim=-1) / determinant[..., None]
        moved = moved + step.clamp(-2, 2)
    return moved * scale, error.abs().sum(-1), texture


def _in_company(moved: Tensor, trusted: Tensor, columns: int) -> Tensor:
    """Whether enough of a point's eight neighbours move as it does, `(B, N)`: what is found by chance does not."""
    steps, points = trusted.shape
    field = moved.masked_fill(~trusted[..., None], math.inf).view(steps, points // columns, columns, 2)
    padded = F.pad(field, (0, 0, 1, 1, 1, 1), value=math.inf)
    around = padded.unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2)
    apart = (around - field[..., None]).norm(dim=-2)
    allowed = _ALIKE[0] + _ALIKE[1] * field.norm(dim=-1)
    # Nothing is infinitely far from itself: inf - inf is no number, and compares as false.
    alike = (apart < allowed[..., None]).sum(dim=-1) - 1
    company: Tensor = (alike >= _NEIGHBOURS_ALIKE).flatten(1)
    return company


def _window() -> tuple[Tensor, Tensor]:
    """The square around a point, `(K, 2)`, and its Gaussian weights `(K,)`, which sum to 1."""
    axis = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float32)
    offsets = torch.cartesian_prod(axis, axis).flip(-1)
    weights = torch.exp(-(offsets**2).sum(-1) / (2 * (_RADIUS / 1.5) ** 2))
    return offsets, weights / weights.sum()


def _grey(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Brightness `(F, 1, h, w)` in [0, 1], the shorter side `_SIDE`."""
    luma = torch.tensor([0.299, 0.587, 0.114])
    grey = torch.cat([(torch.from_numpy(f).float() @ luma)[None, None] for f in frames]) / 255
    height, width = grey.shape[-2:]
    scale = _SIDE / min(height, width)
    if scale == 1:
        return grey
    size = (round(height * scale), round(width * scale))
    return F.interpolate(grey, size=size, mode="bilinear", antialias=True, align_corners=False)


def _grid(height: int, width: int) -> Tensor:
    """Points in pixels, x and y, `(N, 2)`: `_GRID` along the shorter side, as close along the longer one."""
    spacing = min(height, width) / _GRID
    y, x = (torch.arange(round(side / spacing)) * spacing + spacing / 2 - 0.5 for side in (height, width))
    return torch.cartesian_prod(y, x).flip(-1)


def _pyramid(pictures: Tensor) -> list[Tensor]:
    """The pictures `(B, 1, H, W)`, then each time smoothed and halved."""
    levels = [pictures]
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    while min(levels[-1].shape[-2:]) >= 2 * _COARSEST:
        smooth = F.conv2d(F.pad(levels[-1], (2, 2, 2, 2), mode="reflect"), kernel.view(1, 1, 1, 5))
        levels.append(F.conv2d(smooth, kernel.view(1, 1, 5, 1))[:, :, ::2, ::2])
    return levels


def _slopes(pictures: Tensor) -> Tensor:
    """The derivatives in x and y, `(B, 2, H, W)` (Scharr's)."""
    across = torch.tensor([[3.0], [10.0], [3.0]]) / 32 * torch.tensor([[-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]
    return F.conv2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), kernels)


def _sampled(pictures: Tensor, places: Tensor) -> Tensor:
    """Pictures `(B, C, H, W)` at places `(B, N, K, 2)` in pixels, `(B, C, N, K)`; outside, the nearest edge."""
    height, width = pictures.shape[-2:]
    step = 2 / torch.tensor([width, height], dtype=places.dtype)
    unit = torch.addcmul(step / 2 - 1, places, step)
    return F.grid_sample(pictures, unit, padding_mode="border", align_corners=False)

"""Where in a video an individual of the world stands, without anything learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.evaluation.drawings import SIDE, STEPS, Bank, Place, bank_of, crops_at, drawing_of, lay, moved, rivals
from engine.world.drawings.parts import Pose
from engine.world.individuals import Individual

_COARSE = 20
"""Width of the frames that are searched at all places."""
_SIZES = (0.3, 0.36, 0.43, 0.5, 0.58, 0.67, 0.78)
_TURNS = tuple(k * pi / 8 for k in range(16))
_SPOTS = 4
"""How many spots of a frame, well apart, are looked at closely, in the best turn of each size: a moon may look more
like somebody than somebody in the dark does, at all sizes and turns."""
_APART = 0.15
"""Frame widths between these spots."""
_POSES = 16
"""Of how many sizes and turns beside them, the likeliest, the best spot is looked at closely."""
_REFINED = 2
"""Of how many of all these places what is near is tried, too."""
_CLOSE = tuple((size, turn) for size in (0.92, 1.0, 1.08) for turn in (-0.13, 0.0, 0.13))
"""Factors of the size and differences of the turn at which drawings are tried there."""
_NOISE = 0.03
"""Squared error, summed over the three channels, that is there in any case."""
LEAST_SEEN = 0.6
"""The part of a drawing that has to lie within the frame."""


def locate(frames: Tensor, one: Individual, *, panel: int = 4) -> list[Place]:
    """Where the individual, or another of its class, stands in each frame `(F, 3, H, W)` in [0, 1], square.

    It is where a drawing explains most of what is seen: by how much its squared error is smaller than that of the
    best plain colour under its outline. So a plain background is never taken for somebody plain. `panel` drawings
    are looked for, the individual's and siblings', to favour nobody; one who is like none of them may not be found.
    """
    panel_members = _panel(one, panel)
    bank = bank_of(panel_members)
    return [_closer(frame, places, bank) for frame, places in zip(frames, _search(frames, panel_members), strict=True)]


def _panel(one: Individual, count: int) -> tuple[Individual, ...]:
    """The individual and siblings of all kinds."""
    others = rivals(one, 63)[1:]
    return (one, *(others[(2 * k + 1) * len(others) // (2 * count - 2)] for k in range(count - 1)))


def _search(frames: Tensor, panel: tuple[Individual, ...]) -> list[list[Place]]:
    """For each frame the places that are best explained, at some size and turn of the search."""
    small = F.interpolate(frames, size=(_COARSE, _COARSE), mode="area")
    poses = [(size, turn) for size in _SIZES for turn in _TURNS]
    scores = torch.stack([_evidence_anywhere(small, bank) for bank in _search_banks(panel)]).flatten(2)
    return [[*_well_apart(of_frame, poses), *_likeliest(of_frame, poses)] for of_frame in scores.unbind(dim=1)]


def _likeliest(scores: Tensor, poses: Sequence[tuple[float, float]]) -> list[Place]:
    """The best spot of each of the likeliest sizes and turns, by scores `(sizes * turns, spots)`."""
    best, spots = scores.max(dim=1)
    return [(*_middle(int(spots[k])), *poses[k]) for k in best.topk(_POSES).indices.tolist()]


def _well_apart(scores: Tensor, poses: Sequence[tuple[float, float]]) -> list[Place]:
    """The best spots of a frame by their scores `(sizes * turns, spots)`, at each the best turn of each size."""
    middles = torch.tensor([_middle(spot) for spot in range(scores.shape[1])])
    left, found = scores.max(dim=0).values, []
    for _ in range(_SPOTS):
        spot = int(left.argmax())
        distance = (middles - middles[spot]).norm(dim=1)
        near = scores[:, distance < 1.5 / _COARSE]
        turns = near.max(dim=1).values.view(len(_SIZES), len(_TURNS)).argmax(dim=1).tolist()
        for size, turn in enumerate(turns):
            k = size * len(_TURNS) + turn
            x, y = middles[distance < 1.5 / _COARSE][int(near[k].argmax())].tolist()
            found.append((x, y, *poses[k]))
        left = left.masked_fill(distance < _APART, -torch.inf)
    return found


def _middle(spot: int) -> tuple[float, float]:
    row, column = divmod(spot, _COARSE)
    return (column + 0.5) / _COARSE, (row + 0.5) / _COARSE


@lru_cache(maxsize=32)
def _search_banks(panel: tuple[Individual, ...]) -> list[Tensor]:
    """Drawings `(2 * panel, 4, side, side)`, side odd, at each size and turn of the search."""
    poses = (Pose(), Pose(blink=True))  # their mean is not far from either
    drawn = torch.stack([torch.stack([drawing_of(one, pose, 48) for pose in poses]).mean(dim=0) for one in panel])
    drawn = torch.cat([drawn, drawn.flip(-1)])
    banks = []
    for size in _SIZES:
        side = 2 * round(_COARSE * size / 2 * 1.2) + 1
        for turn in torch.tensor(_TURNS):
            scale, zero = side / (_COARSE * size), torch.zeros(())
            cos, sin = scale * turn.cos(), scale * turn.sin()
            theta = torch.stack([torch.stack([cos, sin, zero]), torch.stack([-sin, cos, zero])])
            shape = [len(drawn), 4, 4 * side, 4 * side]
            grid = F.affine_grid(theta.expand(len(drawn), 2, 3), shape, align_corners=False)
            banks.append(F.avg_pool2d(F.grid_sample(drawn, grid, align_corners=False), 4))
    return banks


def _evidence_anywhere(frames: Tensor, drawings: Tensor) -> Tensor:
    """The evidence for the best of the drawings with its middle at each pixel, `(F, H, W)`."""
    alpha, pad = drawings[:, 3:], drawings.shape[-1] // 2
    own = (drawings[:, :3] ** 2).sum(dim=1, keepdim=True) / alpha.clamp(min=1e-4)
    outlines = torch.cat([alpha, _widened(alpha, 2)])
    inside, squares = torch.ones_like(frames[:1, :1]), (frames**2).sum(dim=1, keepdim=True)

    def sums(values: Tensor, kernels: Tensor) -> Tensor:
        return F.conv2d(values, kernels, padding=pad)

    def halves(values: Tensor) -> tuple[Tensor, Tensor]:
        under, around = values.chunk(2, dim=-3)
        return under, around

    weight, weight_around = halves(sums(inside, outlines))
    each = (
        sums(torch.cat([squares, frames], dim=1).flatten(0, 1)[:, None], outlines).unflatten(0, (-1, 4)).transpose(0, 1)
    )
    (square, square_around), (colour, colour_around) = halves(each[0]), halves(each[1:])
    evidence = _evidence(
        _Sums(weight, square, colour),
        _Sums(weight_around, square_around, colour_around),
        both=sums(frames, drawings[:, :3]),
        own=sums(inside, own),
    )
    unseen = weight < LEAST_SEEN * alpha.sum(dim=(1, 2, 3)).view(1, -1, 1, 1)
    return evidence.masked_fill(unseen, -torch.inf).max(dim=1).values


def _closer(frame: Tensor, places: Sequence[Place], bank: Bank) -> Place:
    """The one of the places, or near them, for which there is most evidence."""
    best = _evidence_at(frame, places, bank).amax(dim=1).topk(_REFINED).indices.tolist()
    few = [places[k] for k in best]
    tried = [(x, y, size * by, turn + more) for x, y, size, turn in few for by, more in _CLOSE]
    crop, step = divmod(int(_evidence_at(frame, tried, bank).argmax()), STEPS * STEPS)
    return moved(tried[crop], step)


def _evidence_at(frame: Tensor, places: Sequence[Place], bank: Bank) -> Tensor:
    """The evidence for the best of the drawings at each place, moved by each step: `(N, STEPS * STEPS)`."""
    laid = lay(crops_at(frame, places), bank)
    around = _widened(bank.alpha.view(-1, 1, SIDE, SIDE), 2).flatten(1)
    evidence = _evidence(
        _Sums(laid.weight, laid.square, laid.colours(bank.alpha)),
        _Sums(laid.within @ around.T, laid.squares @ around.T, laid.colours(around)),
        both=laid.both,
        own=laid.own,
    )
    area = torch.tensor([size**2 for _, _, size, _ in places]).view(-1, 1, 1)
    return (area * evidence).masked_fill(laid.seen < LEAST_SEEN, -torch.inf).amax(dim=2)


def _widened(alpha: Tensor, by: int) -> Tensor:
    """Outlines `(N, 1, H, W)` with what lies that many pixels around them."""
    return F.max_pool2d(alpha, 2 * by + 1, stride=1, padding=by)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over a region of a frame: of the weights w, of w F^2, and of w F for each colour `(3, ...)`."""

    weight: Tensor
    square: Tensor
    colour: Tensor

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(self.weight - other.weight, self.square - other.square, self.colour - other.colour)

    def deviation(self) -> Tensor:
        """The squared error of the best plain colour."""
        return (self.square - (self.colour**2).sum(dim=0) / self.weight.clamp(min=1e-6)).clamp(min=0)


def _evidence(under: _Sums, around: _Sums, *, both: Tensor, own: Tensor) -> Tensor:
    """How much likelier it is that a drawing stands before something plain than that there is something plain only.

    The log of the ratio of likelihoods, halved, where each leaves normal errors of the spread that it shows. `under`
    sums what is under the drawing, `around` that with a rim around it; `both` is the sum of a c F and `own` of a c^2
    for the frame's colour F, the drawing's c and its alpha a.
    """
    error = (under.square - 2 * both + own).clamp(min=0) + (around - under).deviation()
    plain = around.deviation()
    weight = around.weight.clamp(min=1e-6)
    return weight * torch.log((plain / weight + _NOISE) / (error / weight + _NOISE))

"""Which individual of the world a video shows: by pixels alone, without anything learnt.

An individual and its siblings are laid over each frame, at all places, sizes and turns near the tracked ones,
looking in each direction, mirrored and not. Whoever leaves the least squared error, weighted by alpha, is who is
shown. The individual out of focus is laid over it, too: a blur that no sibling is like is not the individual either.
A frame is brought to the drawings' upright pose rather than they to its: a bank of drawings is made once for an
individual and serves for all videos.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.evaluation.drawings import SIDE, STEPS, VIEWS, Bank, Place, bank_against, crops_at, lay, moved
from engine.evaluation.locating import LEAST_SEEN, locate
from engine.evaluation.metrics import colour_histogram, colour_similarity
from engine.world.individuals import Individual

_NEAR = tuple((size, turn) for size in (0.96, 1.0, 1.04) for turn in (-0.1, 0.0, 0.1))
"""Factors of the size and differences of the turn at which drawings are tried near a tracked place."""
_LIGHT = (0.85, 1.12)
"""Factors by which a whole drawing may be darker or lighter than it is."""


@dataclass(frozen=True)
class Identification:
    """Who is shown. `errors` `(1 + siblings + 1,)` has the individual first, last itself out of focus; `rank` is its
    place among all these, from 1.

    `frame_errors` `(F, 1 + siblings + 1)` are those whose mean `errors` is. `frame_colours` `(F,)` in [0, 1] are what
    colours under the individual's outline have in common with its own; `colour` is their mean. `centres` `(F, 2)` and
    `sizes` `(F,)` in frame widths and `turns` `(F,)` in radians, clockwise, are those of the best fit.
    """

    frame_errors: Tensor
    frame_colours: Tensor
    centres: Tensor
    sizes: Tensor
    turns: Tensor

    @property
    def errors(self) -> Tensor:
        return self.frame_errors.mean(dim=0)

    @property
    def colour(self) -> float:
        return float(self.frame_colours.mean())

    @property
    def rank(self) -> int:
        return 1 + int((self.errors[1:] <= self.errors[0]).sum())

    @property
    def found(self) -> bool:
        """Whether the individual fits better than every sibling, and than itself out of focus: top-1."""
        return self.rank == 1

    @property
    def found_among_siblings(self) -> bool:
        """Whether the individual fits better than every sibling: who it is, however sharp it is."""
        return bool((self.errors[0] < self.errors[1:-1]).all())

    @property
    def sharp(self) -> bool:
        """Whether the individual fits better than itself out of focus."""
        return bool(self.errors[0] < self.errors[-1])


def identify(frames: Tensor, one: Individual, count: int = 63) -> Identification:
    """Compare frames `(F, 3, H, W)` in [0, 1], square, with an individual, `count` siblings and its own blur."""
    bank = bank_against(one, count)
    fits = [_fit(frame, bank, place) for frame, place in zip(frames, locate(frames, one), strict=True)]
    places = torch.tensor([fit.place for fit in fits])
    return Identification(
        frame_errors=torch.stack([fit.errors for fit in fits]),
        frame_colours=torch.tensor([fit.colour for fit in fits]),
        centres=places[:, :2],
        sizes=places[:, 2],
        turns=places[:, 3],
    )


def track(frames: Tensor, one: Individual, *, panel: int = 4) -> Tensor:
    """Where the individual stands in each frame: `(F, 2)`, (x, y) in frame widths; see `locate` for `panel`."""
    return torch.tensor([place[:2] for place in locate(frames, one, panel=panel)])


@dataclass(frozen=True)
class _Fit:
    """Each candidate's least error in a frame, how like the individual's the colours are, the best one's place."""

    errors: Tensor
    colour: float
    place: Place


def _fit(frame: Tensor, bank: Bank, near: Place) -> _Fit:
    """Lay all candidates over the frame around a place.

    With the light g a drawing's error is (sum a F^2 - 2 g sum a c F + g^2 sum a c^2) / sum a.
    """
    x, y, size, turn = near
    tried = [(x, y, size * factor, turn + by) for factor, by in _NEAR]
    crops = crops_at(frame, tried)
    laid = lay(crops, bank)
    light = (laid.both / laid.own.clamp(min=1e-6)).clamp(*_LIGHT)
    error = (laid.square - 2 * light * laid.both + light**2 * laid.own) / (3 * laid.weight.clamp(min=1e-6))
    error = error.clamp(min=0).masked_fill(laid.seen < LEAST_SEEN, 1.0).flatten(0, 1)
    least, where = error.min(dim=0)
    errors, view = least.view(-1, VIEWS).min(dim=1)
    best, own = (int(where.view(-1, VIEWS)[who, view[who]]) for who in (int(errors.argmin()), 0))
    crop, step = divmod(best, STEPS * STEPS)
    colour = _colour_likeness(crops, bank, own, int(view[0]), float(light.flatten(0, 1)[own, view[0]]))
    return _Fit(errors, colour, moved(tried[crop], step))


def _colour_likeness(crops: Tensor, bank: Bank, index: int, view: int, light: float) -> float:
    """What the histograms of frame and drawing have in common, where the drawing is opaque."""
    crop, step = divmod(index, STEPS * STEPS)
    row, column = divmod(step, STEPS)
    part = crops[crop, :, row : row + SIDE, column : column + SIDE]
    alpha = bank.alpha[view].view(1, 1, SIDE, SIDE)
    solid = (alpha > 0.99) * part[3]
    own = bank.colour[view].view(1, 3, SIDE, SIDE) / alpha.clamp(min=1e-4)
    shown = (part[None, :3] / light).clamp(0, 1)
    return colour_similarity(colour_histogram(shown, solid), colour_histogram(own, solid))

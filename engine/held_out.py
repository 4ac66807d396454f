"""What learning does to the base's predictions, measured at noise and levels that no step of training has.

The training loss of a step says little: most of it is how noisy its samples happen to be. Here the samples, their
noise and their levels are the same at every step, so that what changes is what was learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import fmean

import torch

from engine.losses import Denoise
from engine.methods.common import OptimizerConfig
from engine.training import generator_at

_SAMPLES, _MOST_BATCHES = 16, 8
_NOTHING = 1e-3
"""A change of the prediction that is no change: what computing in half precision alone makes of one."""


@dataclass(frozen=True)
class Effect:
    """What was learnt, at strength 1 against 0: by how much the prediction moves, `||with - without|| / ||without||`,
    and the held-out loss with and without."""

    prediction_change: float
    loss: float
    loss_without: float

    @property
    def is_nothing(self) -> bool:
        """Whether nobody could see it in a video."""
        return self.prediction_change < _NOTHING


def held_out_batches(config: OptimizerConfig, steps: int) -> int:
    """How many batches a measurement is over, in a part of so many steps: a short one isn't measured for long."""
    return max(1, min(_MOST_BATCHES, -(-_SAMPLES // config.batch_size), steps))


@torch.no_grad()
def held_out_loss(denoise: Denoise, batches: int, seed: int) -> float:
    """The mean loss over batches that are the same at every call."""
    return fmean(float(denoise(_generator(seed, number)).loss) for number in range(batches))


@torch.no_grad()
def effect(denoise: Denoise, batches: int, seed: int, without: Callable[[], AbstractContextManager[None]]) -> Effect:
    """Predict by what was learnt, and inside the context `without` it."""
    losses: list[tuple[float, float]] = []
    moved, whole = 0.0, 0.0
    for number in range(batches):
        made = denoise(_generator(seed, number))
        with without():
            bare = denoise(_generator(seed, number))
        losses.append((float(made.loss), float(bare.loss)))
        moved += float((made.prediction - bare.prediction).square().sum())
        whole += float(bare.prediction.square().sum())
    change = (moved / whole) ** 0.5 if whole > 0 else 0.0
    return Effect(change, fmean(loss for loss, _ in losses), fmean(loss for _, loss in losses))


def _generator(seed: int, number: int) -> torch.Generator:
    return generator_at(seed, number, "held out")

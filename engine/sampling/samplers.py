"""The samplers: each one function from noise to a clean sample, down a schedule's levels.

They know nothing of guidance, which wraps `denoise`, and nothing of what the model predicts, which `objective` splits
into the clean sample and the noise that it stands for. So each works for diffusion models and for flows.

`levels` are the levels to step through, the last one the one to arrive at; there is one evaluation of `denoise` at
each of the others, in their order. `sample` is noise `(B, ...)`. `callback(done, of)` is called after each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from engine.sampling.levels import Level

Denoise = Callable[[Tensor, Level], Tensor]
"""From a noisy sample and its level to what the model predicts."""
Callback = Callable[[int, int], None]


class Split(Protocol):
    """What a sampler needs to know of an objective."""

    def split(self, noisy: Tensor, prediction: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """The clean sample and the noise that a prediction stands for."""


class Sampler(Protocol):
    """The form that all samplers have."""

    def __call__(
        self,
        denoise: Denoise,
        sample: Tensor,
        levels: Sequence[Level],
        objective: Split,
        *,
        generators: Sequence[torch.Generator] = (),
        callback: Callback | None = None,
    ) -> Tensor: ...


def ddim(
    denoise: Denoise,
    sample: Tensor,
    levels: Sequence[Level],
    objective: Split,
    *,
    eta: float = 0.0,
    generators: Sequence[torch.Generator] = (),
    callback: Callback | None = None,
) -> Tensor:
    """DDIM (arXiv 2010.02502, equation 12).

    With `eta` above 0, one of `generators` draws the noise of each sample; at 1 its variance is that of the
    posterior of `following`, given the sample at `level` and the clean one.
    """
    for i, (level, following) in enumerate(pairwise(levels)):
        clean, noise = objective.split(sample, denoise(sample, level), level)
        sigma = 0.0
        if eta > 0:
            fresh_variance = level.spread**2 - (level.signal / following.signal * following.spread) ** 2
            sigma = eta * following.spread / level.spread * max(fresh_variance, 0.0) ** 0.5
        spread = following.spread if sigma == 0 else max(following.spread**2 - sigma**2, 0.0) ** 0.5
        sample = following.signal * clean + spread * noise
        if sigma > 0:
            fresh = [torch.randn(one.shape, generator=g) for one, g in zip(sample, generators, strict=True)]
            sample = sample + sigma * torch.stack(fresh).to(sample)
        if callback is not None:
            callback(i + 1, len(levels) - 1)
    return sample


def euler(
    denoise: Denoise,
    sample: Tensor,
    levels: Sequence[Level],
    objective: Split,
    *,
    generators: Sequence[torch.Generator] = (),
    callback: Callback | None = None,
) -> Tensor:
    """Euler's method on the probability flow (arXiv 2206.00364, algorithm 1, deterministic; flows: arXiv 2209.03003).

    In `signal` and `spread` a step is DDIM's at eta 0. It draws nothing from `generators`.
    """
    for i, (level, following) in enumerate(pairwise(levels)):
        clean, noise = objective.split(sample, denoise(sample, level), level)
        sample = following.signal * clean + following.spread * noise
        if callback is not None:
            callback(i + 1, len(levels) - 1)
    return sample


def dpm_solver(
    denoise: Denoise,
    sample: Tensor,
    levels: Sequence[Level],
    objective: Split,
    *,
    generators: Sequence[torch.Generator] = (),
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++ (2M), midpoint (arXiv 2211.01095, algorithm 2). It draws nothing from `generators`.

    The first step is of first order; so is the last one where it arrives at a clean sample, or has fewer than 15
    steps before it, as the authors advise.
    """
    steps = len(levels) - 1
    before: Tensor | None = None  # the clean sample that was predicted one level ago
    for i, (level, following) in enumerate(pairwise(levels)):
        clean, _ = objective.split(sample, denoise(sample, level), level)
        estimate = clean
        if before is not None and not (i == steps - 1 and (following.spread == 0 or steps < 15)):
            estimate = _midway(before, clean, levels[i - 1], level, following)
        before, sample = clean, _stepped(sample, estimate, level, following)
        if callback is not None:
            callback(i + 1, steps)
    return sample


def unipc(
    denoise: Denoise,
    sample: Tensor,
    levels: Sequence[Level],
    objective: Split,
    *,
    generators: Sequence[torch.Generator] = (),
    callback: Callback | None = None,
) -> Tensor:
    """UniPC of order 2 with B(h) = e^h - 1, predicting the clean sample (arXiv 2302.04867, algorithms 7 and 8).

    Each evaluation corrects the step that led to it, then predicts the next one. The first step and the last one
    are of first order. It draws nothing from `generators`.
    """
    steps = len(levels) - 1
    origin, cleans, order = sample, list[Tensor](), 1
    for i, (level, following) in enumerate(pairwise(levels)):
        clean, _ = objective.split(sample, denoise(sample, level), level)
        if i > 0:
            sample = _corrected(origin, [*cleans, clean][-order - 1 :], levels[i - order : i + 1])
        order = min(2, i + 1, steps - i)
        estimate = clean if order == 1 else _midway(cleans[-1], clean, levels[i - 1], level, following)
        cleans = [*cleans[-1:], clean]
        origin, sample = sample, _stepped(sample, estimate, level, following)
        if callback is not None:
            callback(i + 1, steps)
    return sample


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "dpm-solver++": dpm_solver, "unipc": unipc, "euler": euler}


def sampler_named(name: str, *, eta: float) -> Sampler:
    """A sampler of `SAMPLERS`. `eta` is DDIM's."""
    return partial(ddim, eta=eta) if name == "ddim" else SAMPLERS[name]


def _stepped(sample: Tensor, clean: Tensor, level: Level, following: Level) -> Tensor:
    """An exact step from `level` to `following` if the clean sample is `clean` all along (arXiv 2211.01095, eq. 9)."""
    if level == following or level.half_log_snr == following.half_log_snr:
        return sample
    shrunk = math.expm1(level.half_log_snr - following.half_log_snr)
    return following.spread / level.spread * sample - following.signal * shrunk * clean


def _midway(before: Tensor, clean: Tensor, earlier: Level, level: Level, following: Level) -> Tensor:
    """The clean sample halfway to `following`, on the line through that at `earlier` and that at `level`."""
    past = level.half_log_snr - earlier.half_log_snr
    return clean + (following.half_log_snr - level.half_log_snr) / past / 2 * (clean - before)


def _corrected(origin: Tensor, cleans: Sequence[Tensor], levels: Sequence[Level]) -> Tensor:
    """UniC of order 1 or 2 (arXiv 2302.04867, equation 3): the step from `origin`, at the last but one of `levels`,
    to the last one, made once more with the clean sample that was predicted there; `cleans` are those at `levels`."""
    level, reached = levels[-2:]
    change = cleans[-1] - cleans[-2]
    if len(levels) == 2:
        return _stepped(origin, cleans[-2] + change / 2, level, reached)
    length = reached.half_log_snr - level.half_log_snr
    shrunk = math.expm1(-length)
    second = -shrunk / length - 1
    third = -second / length - 1 / 2
    past = (levels[0].half_log_snr - level.half_log_snr) / length
    # The weights of the two changes solve a + b = second / shrunk, past a + b = 2 third / shrunk.
    earlier = (second - 2 * third) / shrunk / (1 - past)
    later = second / shrunk - earlier
    estimate = cleans[-2] + earlier / past * (cleans[0] - cleans[-2]) + later * change
    return _stepped(origin, estimate, level, reached)

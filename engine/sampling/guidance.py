"""What wraps a denoiser: classifier-free guidance, and adapters' strengths over the steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.sampling.levels import Level
from engine.sampling.samplers import Denoise

if TYPE_CHECKING:
    from engine.methods.dreamvideo import ComposeConfig


def guided(denoise: Denoise, scale: float, unguided: Collection[Level] = ()) -> Denoise:
    """Classifier-free guidance (arXiv 2207.12598): uncond + scale * (cond - uncond); at 1 it is off.

    `denoise` takes the sample of both branches, unconditional first, `(2B, ...)`; at scale 1, and at the levels that
    are left `unguided` (arXiv 2404.07724), the conditional one alone, `(B, ...)`.
    """
    if scale == 1:
        return denoise

    def both(sample: Tensor, level: Level) -> Tensor:
        if level in unguided:
            return denoise(sample, level)
        unconditional, conditional = denoise(torch.cat([sample, sample]), level).chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return both


def guided_steps(config: ComposeConfig) -> range:
    """The steps, counted from 0, in which guidance acts; each of the others takes half of the work."""
    if config.guidance_scale == 1:
        return range(0)
    return range(round(config.guidance_from * config.steps), round(config.guidance_until * config.steps))


def prepared(denoise: Denoise, levels: Sequence[Level], prepare: Callable[[int], None]) -> Denoise:
    """`denoise`, with `prepare(step)` called before it, where `step` counts the levels from 0.

    It is how the strengths of adapters follow the steps.
    """
    steps = {level: step for step, level in enumerate(levels[:-1])}

    def at(sample: Tensor, level: Level) -> Tensor:
        prepare(steps[level])
        return denoise(sample, level)

    return at

"""Levels of noise, and the schedules of them that a base's own scheduler config describes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
from diffusers import DDIMScheduler
from torch import Tensor

from engine.errors import BaseError, InputError


@dataclass(frozen=True)
class Level:
    """How noisy a sample is: `signal` * clean + `spread` * noise; and what the model is told as timestep there."""

    timestep: int | float
    signal: float
    spread: float

    @property
    def half_log_snr(self) -> float:
        """log(signal / spread), which is minus infinity for pure noise and infinity for a clean sample."""
        if self.signal == 0:
            return -math.inf
        return math.inf if self.spread == 0 else math.log(self.signal) - math.log(self.spread)


@dataclass(frozen=True)
class Levels:
    """A level for each sample of a batch, as tensors `(B,)` on the CPU."""

    timesteps: Tensor
    signal: Tensor
    spread: Tensor

    def take(self, samples: slice) -> Levels:
        """Those of some samples of the batch."""
        return Levels(self.timesteps[samples], self.signal[samples], self.spread[samples])


def diffusion_levels(scheduler_config: Mapping[str, Any], steps: int) -> list[Level]:
    """The `steps` + 1 levels of a diffusion model, in the config's own spacing; the last is where the last step leads.

    They are DDIM's, whichever sampler steps through them. Raises `InputError` for more steps than the schedule has.
    """
    scheduler = DDIMScheduler.from_config(dict(scheduler_config))
    scheduler.set_timesteps(steps)
    timesteps = [int(t) for t in scheduler.timesteps]
    if max(timesteps) >= len(scheduler.alphas_cumprod):
        raise InputError(f"`steps` is {steps}: the base's schedule has room for fewer, choose {steps - 1} or less")
    kept = [float(scheduler.alphas_cumprod[t]) for t in timesteps] + [float(scheduler.final_alpha_cumprod)]
    return [Level(t, alpha**0.5, (1 - alpha) ** 0.5) for t, alpha in zip([*timesteps, 0], kept, strict=True)]


def flow_levels(scheduler_config: Mapping[str, Any], steps: int) -> list[Level]:
    """The same of a flow-matching model (arXiv 2209.03003): signal is 1 - spread, shifted as the config says.

    Raises `BaseError` for a scheduler whose shift needs to be told the size of the video.
    """
    if scheduler_config.get("use_dynamic_shifting"):
        raise BaseError("the base's scheduler shifts its levels by the video's size, which is not known to dv")
    scheduler = getattr(diffusers, str(scheduler_config["_class_name"])).from_config(dict(scheduler_config))
    scheduler.set_timesteps(steps)
    spreads = [float(sigma) for sigma in scheduler.sigmas]
    timesteps = [t.item() for t in scheduler.timesteps]
    return [Level(t, 1 - spread, spread) for t, spread in zip([*timesteps, 0], spreads, strict=True)]

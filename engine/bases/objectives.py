"""What a base was trained for: how a clean sample is noised at a level, what is predicted there, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, cast

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from engine.errors import BaseError
from engine.sampling.levels import Level, Levels, diffusion_levels, flow_levels
from engine.sampling.noise import draw_shares, draw_timesteps

DiffusionPrediction = Literal["epsilon", "v_prediction"]
_FLOW = "flow_prediction"
_FLOW_SCHEDULERS = (
    "FlowMatchEulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
"""Those of diffusers that can describe a flow's levels."""


class Objective(Protocol):
    """A base's noise and what it predicts. Samples are `(B, ...)`."""

    def levels(self, steps: int) -> list[Level]:
        """The base's own schedule: `steps` + 1 levels, the noisiest first."""

    def draw(self, count: int, bias: float, generator: torch.Generator, *, stratified: bool = False) -> Levels:
        """Random levels to learn at; see `draw_shares` for `bias` and `stratified`."""

    def add_noise(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """The sample at each one's level."""

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """What the base should predict there."""

    def split(self, noisy: Tensor, prediction: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """The clean sample and the noise that a prediction stands for."""


def objective_of(scheduler_config: Mapping[str, Any]) -> Objective:
    """The objective that a base's scheduler config describes. Raises `BaseError` for one that is not known."""
    kind = str(scheduler_config.get("_class_name"))
    prediction = str(scheduler_config.get("prediction_type", "epsilon"))
    if kind == _FLOW_SCHEDULERS[0] or prediction == _FLOW or scheduler_config.get("use_flow_sigmas"):
        if kind not in _FLOW_SCHEDULERS:
            raise BaseError(f"the base is a flow with a {kind}; known are: {', '.join(_FLOW_SCHEDULERS)}")
        return FlowObjective(scheduler_config)
    if prediction not in ("epsilon", "v_prediction"):
        raise BaseError(f"the base predicts {prediction!r}; known are epsilon, v_prediction and {_FLOW}")
    return DiffusionObjective(scheduler_config, cast("DiffusionPrediction", prediction))


class DiffusionObjective:
    """DDPM's noise (arXiv 2006.11239): signal^2 + spread^2 is 1; epsilon or v (arXiv 2202.00512) is predicted."""

    def __init__(self, scheduler_config: Mapping[str, Any], prediction: DiffusionPrediction) -> None:
        self.scheduler_config, self.prediction = dict(scheduler_config), prediction
        self.alphas_cumprod: Tensor = DDIMScheduler.from_config(self.scheduler_config).alphas_cumprod.float()

    def levels(self, steps: int) -> list[Level]:
        return diffusion_levels(self.scheduler_config, steps)

    def draw(self, count: int, bias: float, generator: torch.Generator, *, stratified: bool = False) -> Levels:
        return self.at(draw_timesteps(count, len(self.alphas_cumprod), bias, generator, stratified=stratified))

    def at(self, timesteps: Tensor) -> Levels:
        """The levels of timesteps `(B,)`."""
        kept = self.alphas_cumprod[timesteps]
        return Levels(timesteps, kept.sqrt(), (1 - kept).sqrt())

    def add_noise(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        signal, spread = _scales(levels, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        if self.prediction == "epsilon":
            return noise
        signal, spread = _scales(levels, clean)
        return signal * noise - spread * clean

    def split(self, noisy: Tensor, prediction: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        # As exact as the levels of learning: in float32.
        kept = torch.tensor(level.signal**2, dtype=torch.float32)
        signal, spread = float(kept.sqrt()), float((1 - kept).sqrt())
        if self.prediction == "epsilon":
            return (noisy - spread * prediction) / signal, prediction
        return signal * noisy - spread * prediction, signal * prediction + spread * noisy


class FlowObjective:
    """Rectified flow (arXiv 2209.03003): signal is 1 - spread; noise - clean is predicted.

    Levels are shifted towards noise by the config's shift s, spread = s u / (1 + (s - 1) u) (arXiv 2403.03206,
    section 5.3.2), in learning as in sampling.
    """

    def __init__(self, scheduler_config: Mapping[str, Any]) -> None:
        self.scheduler_config = dict(scheduler_config)
        self.shift = float(scheduler_config.get("flow_shift", scheduler_config.get("shift", 1.0)))
        self.timesteps = int(scheduler_config.get("num_train_timesteps", 1000))

    def levels(self, steps: int) -> list[Level]:
        return flow_levels(self.scheduler_config, steps)

    def draw(self, count: int, bias: float, generator: torch.Generator, *, stratified: bool = False) -> Levels:
        even = draw_shares(count, bias, generator, stratified=stratified)
        spread = self.shift * even / (1 + (self.shift - 1) * even)
        return Levels(spread * self.timesteps, 1 - spread, spread)

    def add_noise(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        signal, spread = _scales(levels, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        return noise - clean

    def split(self, noisy: Tensor, prediction: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        return noisy - level.spread * prediction, noisy + level.signal * prediction


def _scales(levels: Levels, like: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and spread of each sample, `(B, 1, ...)`."""
    shape = (-1, *[1] * (like.ndim - 1))
    return levels.signal.to(like.device).view(shape), levels.spread.to(like.device).view(shape)

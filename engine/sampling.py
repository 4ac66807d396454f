"""THE denoising loop, and what wraps the denoiser: guidance. Neither prints, neither knows a model's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from engine.bases.base import Objective

Denoise = Callable[[Tensor, int], Tensor]
"""From a noisy sample and its timestep to what the base predicts (epsilon or v)."""


def ddim(
    denoise: Denoise,
    sample: Tensor,
    timesteps: list[int],
    objective: Objective,
    *,
    final_alpha: float,
    eta: float = 0.0,
    generators: Sequence[torch.Generator] = (),
    callback: Callable[[int, int], None] | None = None,
) -> Tensor:
    """DDIM (arXiv 2010.02502, equation 12) from pure noise `(B, ...)` down `timesteps`; the clean sample.

    `final_alpha` is the cumulative alpha after the last step. With `eta` above 0, one of `generators` draws the
    noise of each sample. `callback(done, of)` is called after each step.
    """
    alphas = [float(objective.alphas_cumprod[t]) for t in timesteps] + [final_alpha]
    for i, timestep in enumerate(timesteps):
        prediction = denoise(sample, timestep)
        clean, noise = objective.split(sample, prediction, torch.tensor([timestep]))
        alpha, following = alphas[i], alphas[i + 1]
        sigma = 0.0
        if eta > 0:
            sigma = eta * ((1 - following) / (1 - alpha) * (1 - alpha / following)) ** 0.5
        sample = following**0.5 * clean + max(1 - following - sigma**2, 0.0) ** 0.5 * noise
        if sigma > 0:
            fresh = [torch.randn(one.shape, generator=g) for one, g in zip(sample, generators, strict=True)]
            sample = sample + sigma * torch.stack(fresh).to(sample)
        if callback is not None:
            callback(i + 1, len(timesteps))
    return sample


def guided(denoise: Callable[[Tensor, int], Tensor], scale: float) -> Denoise:
    """Classifier-free guidance (arXiv 2207.12598): uncond + scale * (cond - uncond); at 1 it is off.

    `denoise` takes the sample of both branches, unconditional first, `(2B, ...)`; at scale 1 the
    conditional one alone, `(B, ...)`.
    """
    if scale == 1:
        return denoise

    def both(sample: Tensor, timestep: int) -> Tensor:
        unconditional, conditional = denoise(torch.cat([sample, sample]), timestep).chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return both


def schedule(scheduler_config: Mapping[str, object], steps: int) -> tuple[list[int], float]:
    """The timesteps of a base's own spacing, and the cumulative alpha that the last step leads to."""
    scheduler = DDIMScheduler.from_config(scheduler_config)
    scheduler.set_timesteps(steps)
    return [int(t) for t in scheduler.timesteps], float(scheduler.final_alpha_cumprod)


def offset_noise(shape: tuple[int, ...], strength: float, generator: torch.Generator) -> Tensor:
    """N(0, 1) + strength * N(0, 1), the second constant over h and w (the authors' code); `(B, C, F, h, w)`."""
    noise = torch.randn(shape, generator=generator)
    if strength > 0:
        noise = noise + strength * torch.randn((*shape[:-2], 1, 1), generator=generator)
    return noise


def draw_timesteps(
    count: int, steps: int, bias: float, generator: torch.Generator, *, stratified: bool = False
) -> Tensor:
    """`count` of the timesteps 0 to `steps` - 1, evenly likely at a `bias` of 1; above it noisy ones are likelier,
    below it clean ones.

    The share of timesteps below t is 1 - (1 - t / steps)^(1 / bias): at 2 half of them lie above 0.75, at 3 above
    0.87, at 0.5 below 0.29. `stratified` spreads them, each in a stratum of its own.
    """
    if stratified:
        even = (torch.rand((), generator=generator) + torch.arange(count)) / count
    else:
        even = torch.rand(count, generator=generator)
    return ((1 - (1 - even) ** bias) * steps).long().clamp(max=steps - 1)

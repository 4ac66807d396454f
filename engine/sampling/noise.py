"""Noise to start from and to learn with, and random places in a schedule."""

from __future__ import annotations

import torch
from torch import Tensor


def offset_noise(shape: tuple[int, ...], strength: float, generator: torch.Generator) -> Tensor:
    """N(0, 1) + strength * N(0, 1), the second constant over h and w (the authors' code); `(B, C, F, h, w)`."""
    noise = torch.randn(shape, generator=generator)
    if strength > 0:
        noise = noise + strength * torch.randn((*shape[:-2], 1, 1), generator=generator)
    return noise


def draw_shares(count: int, bias: float, generator: torch.Generator, *, stratified: bool = False) -> Tensor:
    """`count` places `(count,)` between 0 (clean) and 1 (noise), evenly likely at a `bias` of 1; above it noisy ones
    are likelier, below it clean ones.

    The share of places below t is 1 - (1 - t)^(1 / bias): at 2 half of them lie above 0.75, at 3 above 0.87, at 0.5
    below 0.29. `stratified` spreads them, each in a stratum of its own.
    """
    if stratified:
        even = (torch.rand((), generator=generator) + torch.arange(count)) / count
    else:
        even = torch.rand(count, generator=generator)
    return 1 - (1 - even) ** bias


def draw_timesteps(
    count: int, steps: int, bias: float, generator: torch.Generator, *, stratified: bool = False
) -> Tensor:
    """`count` of the timesteps 0 to `steps` - 1, as `draw_shares` draws them."""
    return (draw_shares(count, bias, generator, stratified=stratified) * steps).long().clamp(max=steps - 1)

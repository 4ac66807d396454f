"""Noise to start from and to learn with, and where in a schedule it is drawn."""

from __future__ import annotations

import pytest

from engine.sampling.noise import draw_shares, draw_timesteps, offset_noise
from engine.training import generator_at


def test_offset_noise_adds_what_is_constant_over_a_frame() -> None:
    shape = (4, 4, 16, 32, 32)
    plain = offset_noise(shape, 0.0, generator_at(0, 0))
    added = offset_noise(shape, 0.5, generator_at(0, 0)) - plain
    assert added.var(dim=(-2, -1)).max() < 1e-10
    constant = added[..., 0, 0]
    assert constant.std() == pytest.approx(0.5, rel=0.15)
    assert constant.unique().numel() == 4 * 4 * 16  # drawn anew for each sample, channel and frame


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0])
def test_offset_noise_has_the_variance_that_it_says(strength: float) -> None:
    noise = offset_noise((64, 4, 16, 8, 8), strength, generator_at(1, 0))
    assert noise.var().item() == pytest.approx(1 + strength**2, rel=0.05)
    assert noise.mean(dim=(-2, -1)).var().item() == pytest.approx(1 / 64 + strength**2, rel=0.15)


@pytest.mark.parametrize(("bias", "above"), [(0.5, 0.06), (1.0, 0.25), (2.0, 0.5), (3.0, 0.63)])
@pytest.mark.parametrize("stratified", [False, True])
def test_noisy_places_are_as_likely_as_asked(bias: float, above: float, stratified: bool) -> None:
    shares = draw_shares(4000, bias, generator_at(0, 0), stratified=stratified)
    assert shares.min() >= 0 and shares.max() <= 1
    assert float((shares >= 0.75).float().mean()) == pytest.approx(above, abs=0.03)
    timesteps = draw_timesteps(4000, 1000, bias, generator_at(0, 0), stratified=stratified)
    assert timesteps.min() >= 0 and timesteps.max() < 1000
    assert ((timesteps / 1000 - shares).abs() <= 0.001).all()


def test_stratified_places_are_spread() -> None:
    shares = draw_shares(10, 1.0, generator_at(0, 0), stratified=True)
    assert sorted((shares * 10).long().tolist()) == list(range(10))

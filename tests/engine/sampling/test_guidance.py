"""What wraps a denoiser."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.sampling.guidance import guided, prepared
from engine.sampling.levels import Level

LEVEL = Level(5, 0.8, 0.6)


def dummy(sample: Tensor, level: Level) -> Tensor:
    return torch.tanh(sample.roll(1, dims=-1) + level.timestep / 1000)


def test_guidance_is_the_formula() -> None:
    conditional, unconditional = torch.randn(2, 1, 4, 3, 8, 8).unbind()
    seen: list[Tensor] = []

    def both(sample: Tensor, _level: Level) -> Tensor:
        seen.append(sample)
        return torch.cat([unconditional, conditional])

    sample = torch.randn(1, 4, 3, 8, 8)
    for scale in (0.0, 3.0, 9.0):
        found = guided(both, scale)(sample, LEVEL)
        torch.testing.assert_close(found, unconditional + scale * (conditional - unconditional))
    assert all(torch.equal(s, torch.cat([sample, sample])) for s in seen)


def test_guidance_of_one_asks_the_conditional_branch_alone() -> None:
    sample = torch.randn(1, 4, 3, 8, 8)
    assert torch.equal(guided(dummy, 1.0)(sample, LEVEL), dummy(sample, LEVEL))


def test_levels_that_are_left_unguided_ask_the_conditional_branch_alone() -> None:
    sample, other = torch.randn(1, 4, 3, 8, 8), Level(9, 0.6, 0.8)
    denoise = guided(dummy, 9.0, [LEVEL])
    assert torch.equal(denoise(sample, LEVEL), dummy(sample, LEVEL))
    assert torch.equal(denoise(sample, other), guided(dummy, 9.0)(sample, other))


def test_what_follows_the_steps_is_prepared_before_each() -> None:
    """By the level, whatever else is asked in between; a schedule may arrive at the level that it last asked for."""
    levels = [Level(9, 0.6, 0.8), LEVEL, Level(0, 1.0, 0.0), Level(0, 1.0, 0.0)]
    told: list[str] = []

    def asked(sample: Tensor, level: Level) -> Tensor:
        told.append(f"asked at {level.timestep}")
        return sample

    denoise = prepared(asked, levels, lambda step: told.append(f"step {step}"))
    for level in levels[:-1]:
        denoise(torch.zeros(1), level)
    assert told == ["step 0", "asked at 9", "step 1", "asked at 5", "step 2", "asked at 0"]

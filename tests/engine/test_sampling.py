"""The denoising loop, against diffusers' own; guidance and the starting noise."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from engine.bases.base import Objective
from engine.sampling import ddim, guided, offset_noise, schedule
from engine.training import generator_at


def scheduler_of(prediction_type: str = "epsilon", spacing: str = "leading", *, to_one: bool = False) -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=to_one,
        steps_offset=1,
        prediction_type=prediction_type,
        timestep_spacing=spacing,
    )


def dummy(sample: Tensor, timestep: int) -> Tensor:
    """A model that depends on all that it is given, and never grows."""
    return torch.tanh(sample.roll(1, dims=-1) + timestep / 1000)


def start() -> Tensor:
    return torch.randn((2, 4, 3, 8, 8), generator=torch.Generator().manual_seed(0))


def ours(scheduler: DDIMScheduler, steps: int, **options: object) -> Tensor:
    timesteps, final_alpha = schedule(dict(scheduler.config), steps)
    objective = Objective(scheduler.alphas_cumprod, scheduler.config.prediction_type)
    return ddim(dummy, start(), timesteps, objective, final_alpha=final_alpha, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("to_one", [False, True])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [10, 20, 50])
def test_is_diffusers_ddim(steps: int, prediction_type: str, spacing: str, to_one: bool) -> None:
    scheduler = scheduler_of(prediction_type, spacing, to_one=to_one)
    scheduler.set_timesteps(steps)
    expected = start()
    for timestep in scheduler.timesteps:
        expected = scheduler.step(dummy(expected, int(timestep)), timestep, expected).prev_sample
    torch.testing.assert_close(ours(scheduler, steps), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_is_diffusers_ddim_with_eta_and_the_same_noise(prediction_type: str, eta: float) -> None:
    scheduler = scheduler_of(prediction_type)
    scheduler.set_timesteps(20)
    expected, generators = start(), [torch.Generator().manual_seed(7 + i) for i in range(2)]
    for timestep in scheduler.timesteps:
        noise = torch.stack([torch.randn(expected.shape[1:], generator=g) for g in generators])
        prediction = dummy(expected, int(timestep))
        expected = scheduler.step(prediction, timestep, expected, eta=eta, variance_noise=noise).prev_sample
    found = ours(scheduler, 20, eta=eta, generators=[torch.Generator().manual_seed(7 + i) for i in range(2)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, ours(scheduler, 20), atol=0.1)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_model_that_knows_the_answer_is_led_to_it(prediction_type: str) -> None:
    scheduler = scheduler_of(prediction_type, "trailing", to_one=True)
    objective, answer = Objective(scheduler.alphas_cumprod, prediction_type), torch.full((1, 2, 1, 4, 4), 0.5)

    def oracle(sample: Tensor, timestep: int) -> Tensor:
        at = torch.tensor([timestep])
        signal = objective.add_noise(answer, torch.zeros_like(answer), at)
        spread = objective.add_noise(torch.zeros_like(answer), torch.ones_like(answer), at)
        return objective.target(answer, (sample - signal) / spread, at)

    timesteps, final_alpha = schedule(dict(scheduler.config), 10)
    found = ddim(oracle, torch.randn(answer.shape), timesteps, objective, final_alpha=final_alpha)
    torch.testing.assert_close(found, answer, atol=1e-4, rtol=1e-4)


def test_tells_every_step() -> None:
    told: list[tuple[int, int]] = []
    ours(scheduler_of(), 10, callback=lambda done, of: told.append((done, of)))
    assert told == [(i, 10) for i in range(1, 11)]


def test_guidance_is_the_formula() -> None:
    conditional, unconditional = torch.randn(2, 1, 4, 3, 8, 8).unbind()
    seen: list[Tensor] = []

    def both(sample: Tensor, _timestep: int) -> Tensor:
        seen.append(sample)
        return torch.cat([unconditional, conditional])

    sample = torch.randn(1, 4, 3, 8, 8)
    for scale in (0.0, 3.0, 9.0):
        found = guided(both, scale)(sample, 5)
        torch.testing.assert_close(found, unconditional + scale * (conditional - unconditional))
    assert all(torch.equal(s, torch.cat([sample, sample])) for s in seen)


def test_guidance_of_one_asks_the_conditional_branch_alone() -> None:
    sample = torch.randn(1, 4, 3, 8, 8)
    assert torch.equal(guided(dummy, 1.0)(sample, 5), dummy(sample, 5))


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

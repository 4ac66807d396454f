"""Each sampler against diffusers' scheduler of its name, stepping the same model down the same levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, get_args, get_type_hints

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from engine.bases.objectives import Objective, objective_of
from engine.methods.dreamvideo import ComposeConfig
from engine.sampling.levels import Level
from engine.sampling.samplers import SAMPLERS, Sampler, ddim, dpm_solver, euler, sampler_named, unipc

BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
STEPS = pytest.mark.parametrize("steps", [10, 20, 50])
DIFFUSION = pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
SPACING = pytest.mark.parametrize("spacing", ["leading", "trailing"])
FLOW: dict[str, Any] = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


def dummy(sample: Tensor, level: Level) -> Tensor:
    """A model that depends on all that it is given, and never grows."""
    return torch.tanh(sample.roll(1, dims=-1) + level.timestep / 1000)


def start() -> Tensor:
    return torch.randn((2, 4, 3, 8, 8), generator=torch.Generator().manual_seed(0))


def levels_of(scheduler: Any) -> list[Level]:
    """The levels that a scheduler steps through, by its own timesteps and sigmas."""
    flow = isinstance(scheduler, FlowMatchEulerDiscreteScheduler) or scheduler.config.get("use_flow_sigmas")
    levels = []
    for timestep, sigma in zip([*scheduler.timesteps.tolist(), 0], scheduler.sigmas.tolist(), strict=True):
        signal = 1 - sigma if flow else 1 / math.sqrt(1 + sigma**2)
        levels.append(Level(timestep, signal, sigma if flow else sigma * signal))
    return levels


def theirs(scheduler: Any, levels: list[Level], sample: Tensor) -> Tensor:
    """What diffusers' scheduler makes of `sample`, in its own scale."""
    for timestep, level in zip(scheduler.timesteps, levels, strict=False):
        seen = sample
        if isinstance(scheduler, EulerDiscreteScheduler):  # the one that scales samples
            seen = scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(dummy(seen, level), timestep, sample).prev_sample
    return sample


def config_of(scheduler: Any) -> dict[str, Any]:
    """Its config as a base's file holds it."""
    return {"_class_name": type(scheduler).__name__, **scheduler.config}


def compared(sampler: Sampler, scheduler: Any, steps: int) -> None:
    scheduler.set_timesteps(steps)
    levels, objective = levels_of(scheduler), objective_of(config_of(scheduler))
    expected = theirs(scheduler, levels, start())
    found = sampler(dummy, start(), levels, objective)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, start(), atol=0.1)


# --- DDIM ---


def ddim_scheduler(prediction_type: str = "epsilon", spacing: str = "leading", *, to_one: bool = False) -> Any:
    return DDIMScheduler(
        **BETAS, clip_sample=False, set_alpha_to_one=to_one, steps_offset=1, prediction_type=prediction_type,
        timestep_spacing=spacing,
    )  # fmt: skip


def ours(scheduler: Any, steps: int, **options: Any) -> Tensor:
    objective = objective_of(config_of(scheduler))
    return ddim(dummy, start(), objective.levels(steps), objective, **options)


@STEPS
@DIFFUSION
@SPACING
@pytest.mark.parametrize("to_one", [False, True])
def test_ddim_is_diffusers(steps: int, prediction_type: str, spacing: str, to_one: bool) -> None:
    scheduler = ddim_scheduler(prediction_type, spacing, to_one=to_one)
    scheduler.set_timesteps(steps)
    expected = start()
    for timestep in scheduler.timesteps:
        prediction = dummy(expected, Level(int(timestep), 0, 0))
        expected = scheduler.step(prediction, timestep, expected).prev_sample
    torch.testing.assert_close(ours(scheduler, steps), expected, atol=1e-4, rtol=1e-4)


@DIFFUSION
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_with_eta_is_diffusers_with_the_same_noise(prediction_type: str, eta: float) -> None:
    scheduler = ddim_scheduler(prediction_type)
    scheduler.set_timesteps(20)
    expected, generators = start(), [torch.Generator().manual_seed(7 + i) for i in range(2)]
    for timestep in scheduler.timesteps:
        noise = torch.stack([torch.randn(expected.shape[1:], generator=g) for g in generators])
        prediction = dummy(expected, Level(int(timestep), 0, 0))
        expected = scheduler.step(prediction, timestep, expected, eta=eta, variance_noise=noise).prev_sample
    found = ours(scheduler, 20, eta=eta, generators=[torch.Generator().manual_seed(7 + i) for i in range(2)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, ours(scheduler, 20), atol=0.1)


# --- DPM-Solver++ and UniPC ---


@STEPS
@DIFFUSION
@SPACING
@pytest.mark.parametrize("final", ["zero", "sigma_min"])
@pytest.mark.parametrize(
    ("sampler", "kind"), [(dpm_solver, DPMSolverMultistepScheduler), (unipc, UniPCMultistepScheduler)]
)
def test_multistep_samplers_are_diffusers(
    sampler: Sampler, kind: Any, steps: int, prediction_type: str, spacing: str, final: str
) -> None:
    scheduler = kind(
        **BETAS, prediction_type=prediction_type, timestep_spacing=spacing, steps_offset=1, final_sigmas_type=final
    )
    compared(sampler, scheduler, steps)


@STEPS
@pytest.mark.parametrize("shift", [1.0, 5.0])
@pytest.mark.parametrize(
    ("sampler", "kind"), [(dpm_solver, DPMSolverMultistepScheduler), (unipc, UniPCMultistepScheduler)]
)
def test_multistep_samplers_are_diffusers_for_flows(sampler: Sampler, kind: Any, steps: int, shift: float) -> None:
    compared(sampler, kind(**FLOW, flow_shift=shift), steps)


# --- Euler ---


@STEPS
@DIFFUSION
@SPACING
def test_euler_is_diffusers(steps: int, prediction_type: str, spacing: str) -> None:
    """Theirs steps through samples that are divided by the signal."""
    scheduler = EulerDiscreteScheduler(
        **BETAS, prediction_type=prediction_type, timestep_spacing=spacing, steps_offset=1
    )
    scheduler.set_timesteps(steps)
    levels, objective = levels_of(scheduler), objective_of(config_of(scheduler))
    expected = theirs(scheduler, levels, start() / levels[0].signal) * levels[-1].signal
    torch.testing.assert_close(euler(dummy, start(), levels, objective), expected, atol=1e-4, rtol=1e-4)


@STEPS
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("sampler", [euler, ddim])
def test_euler_for_flows_is_diffusers_and_is_ddims_formula(sampler: Sampler, steps: int, shift: float) -> None:
    compared(sampler, FlowMatchEulerDiscreteScheduler(shift=shift), steps)


# --- all of them ---

OBJECTIVES = {
    name: config_of(scheduler)
    for name, scheduler in {
        "epsilon": ddim_scheduler("epsilon"),
        "v_prediction": ddim_scheduler("v_prediction"),
        "v from pure noise": DDIMScheduler(
            **BETAS, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
        ),
        "flow from pure noise": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "flow": UniPCMultistepScheduler(**FLOW, flow_shift=3.0),
    }.items()
}
EVERY = {**SAMPLERS, "ddim at eta 1": partial(ddim, eta=1.0)}


def knowing(answer: Tensor, objective: Objective) -> Callable[[Tensor, Level], Tensor]:
    """A model that predicts as if every sample were `answer`, noised."""

    def denoise(sample: Tensor, level: Level) -> Tensor:
        if level.spread == 0:
            return torch.zeros_like(sample)
        noise = (sample - level.signal * answer) / level.spread
        predictions = [
            noise,
            level.signal * noise - level.spread * answer,
            noise - answer,
        ]
        kinds = {"epsilon": 0, "v_prediction": 1}
        return predictions[kinds.get(getattr(objective, "prediction", ""), 2)]

    return denoise


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_a_model_that_knows_the_answer_is_led_to_it(name: str, kind: str, steps: int) -> None:
    objective, answer = objective_of(OBJECTIVES[kind]), torch.full((2, 2, 1, 4, 4), 0.5)
    levels = objective.levels(steps)
    noise = torch.randn(answer.shape, generator=torch.Generator().manual_seed(0))
    sample = levels[0].signal * answer + levels[0].spread * noise
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    found = EVERY[name](knowing(answer, objective), sample, levels, objective, generators=generators)
    assert found.isfinite().all()
    # What noise is left is that of the last level.
    spread = levels[-1].spread
    assert (found - levels[-1].signal * answer).std() == pytest.approx(spread, rel=0.4, abs=1e-3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_steps_come_closer_to_where_many_lead(name: str) -> None:
    objective = objective_of(OBJECTIVES["v_prediction"])

    def at(steps: int) -> Tensor:
        return SAMPLERS[name](dummy, start(), objective.levels(steps), objective)

    far, near, aim = at(10), at(50), ddim(dummy, start(), objective.levels(500), objective)
    assert (near - aim).norm() < 0.5 * (far - aim).norm()


def test_the_solvers_are_closer_than_ddim_after_as_many_steps() -> None:
    objective = objective_of(OBJECTIVES["v_prediction"])
    aim = ddim(dummy, start(), objective.levels(500), objective)

    def off(sampler: Sampler) -> float:
        return float((sampler(dummy, start(), objective.levels(20), objective) - aim).norm())

    assert off(euler) == pytest.approx(off(ddim), rel=1e-3)
    assert off(dpm_solver) < 0.7 * off(ddim)
    assert off(unipc) < 0.7 * off(ddim)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 10])
def test_each_level_is_asked_once_and_every_step_told(name: str, steps: int) -> None:
    objective, told, asked = objective_of(OBJECTIVES["epsilon"]), list[tuple[int, int]](), list[Level]()

    def noting(sample: Tensor, level: Level) -> Tensor:
        asked.append(level)
        return dummy(sample, level)

    levels = objective.levels(steps)
    sampler_named(name, eta=0.0)(noting, start(), levels, objective, callback=lambda done, of: told.append((done, of)))
    assert told == [(i + 1, steps) for i in range(steps)]
    assert asked == levels[:-1]


def test_levels_that_are_the_same_are_a_step_of_nothing() -> None:
    """Leading spacing without an offset ends where it arrives."""
    config = {**OBJECTIVES["epsilon"], "steps_offset": 0, "set_alpha_to_one": False}
    objective = objective_of(config)
    levels = objective.levels(20)
    assert levels[-2] == levels[-1]
    for name, sampler in SAMPLERS.items():
        whole, short = (sampler(dummy, start(), each, objective) for each in (levels, levels[:-1]))
        assert whole.isfinite().all()
        # The solvers correct the last sample, or end with a step of lower order.
        torch.testing.assert_close(whole, short, rtol=0, atol=1e-5 if name in ("ddim", "euler") else 0.2)


def test_the_setting_offers_the_samplers_that_there_are() -> None:
    assert set(get_args(get_type_hints(ComposeConfig)["sampler"])) == set(SAMPLERS)

"""Objectives: noise, target and what a prediction stands for, of epsilon, v and flow."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from engine.bases.objectives import DiffusionObjective, FlowObjective, Objective, objective_of
from engine.errors import BaseError
from engine.sampling.levels import Level, Levels
from engine.training import generator_at

BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def config_of(scheduler: Any) -> dict[str, Any]:
    return {"_class_name": type(scheduler).__name__, **scheduler.config}


ALL = {
    "epsilon": DDIMScheduler(**BETAS),
    "v_prediction": DDIMScheduler(**BETAS, prediction_type="v_prediction"),
    "flow": FlowMatchEulerDiscreteScheduler(shift=3.0),
}
EACH = pytest.mark.parametrize("kind", ALL)


def pair() -> tuple[Tensor, Tensor]:
    clean, noise = torch.randn(2, 5, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    return clean, noise


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
def test_diffusion_is_diffusers(prediction_type: str, kind: Any) -> None:
    scheduler = kind(**BETAS, prediction_type=prediction_type)
    objective = cast("DiffusionObjective", objective_of(config_of(scheduler)))
    clean, noise = pair()
    timesteps = torch.tensor([0, 1, 500, 998, 999])
    levels = objective.at(timesteps)
    assert torch.equal(levels.timesteps, timesteps)
    torch.testing.assert_close(objective.add_noise(clean, noise, levels), scheduler.add_noise(clean, noise, timesteps))
    velocity = scheduler.get_velocity(clean, noise, timesteps)
    expected = noise if prediction_type == "epsilon" else velocity
    torch.testing.assert_close(objective.target(clean, noise, levels), expected)


def test_flow_is_diffusers() -> None:
    scheduler = ALL["flow"]
    objective, (clean, noise) = objective_of(config_of(scheduler)), pair()
    at = scheduler.timesteps[[0, 1, 500, 998, 999]]
    spread = at / 1000
    levels = Levels(at, 1 - spread, spread)
    torch.testing.assert_close(objective.add_noise(clean, noise, levels), scheduler.scale_noise(clean, at, noise))
    assert torch.equal(objective.target(clean, noise, levels), noise - clean)


@EACH
def test_a_right_prediction_is_split_into_what_was_mixed(kind: str) -> None:
    objective, (clean, noise) = objective_of(config_of(ALL[kind])), pair()
    for level in objective.levels(10)[1:]:
        levels = Levels(*(torch.full((5,), float(x)) for x in (level.timestep, level.signal, level.spread)))
        noisy, target = objective.add_noise(clean, noise, levels), objective.target(clean, noise, levels)
        back = objective.split(noisy, target, level)
        torch.testing.assert_close(back[0], clean, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(back[1], noise, atol=1e-3, rtol=1e-3)


@EACH
def test_levels_are_drawn_where_the_schedule_is(kind: str) -> None:
    objective: Objective = objective_of(config_of(ALL[kind]))
    drawn = objective.draw(2000, 1.0, generator_at(0, 0))
    assert drawn.timesteps.min() >= 0 and drawn.timesteps.max() < 1000
    total = drawn.signal + drawn.spread if kind == "flow" else drawn.signal**2 + drawn.spread**2
    torch.testing.assert_close(total, torch.ones(2000))
    noisier = objective.draw(2000, 3.0, generator_at(0, 0))
    assert noisier.spread.mean() > drawn.spread.mean()


@pytest.mark.parametrize(("shift", "median"), [(1.0, 0.5), (3.0, 0.75), (5.0, 5 / 6)])
def test_a_flows_shift_holds_for_learning_too(shift: float, median: float) -> None:
    for scheduler in (
        FlowMatchEulerDiscreteScheduler(shift=shift),
        UniPCMultistepScheduler(flow_shift=shift, use_flow_sigmas=True, prediction_type="flow_prediction"),
    ):
        drawn = objective_of(config_of(scheduler)).draw(4000, 1.0, generator_at(0, 0))
        assert float(drawn.spread.median()) == pytest.approx(median, abs=0.02)
        torch.testing.assert_close(drawn.timesteps, drawn.spread * 1000)


def test_pure_noise_is_no_division_by_zero() -> None:
    scheduler = DDIMScheduler(
        **BETAS, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    objective = objective_of(config_of(scheduler))
    first = objective.levels(10)[0]
    assert first == Level(999, 0.0, 1.0)
    clean, noise = objective.split(torch.ones(1, 2), torch.full((1, 2), 3.0), first)
    assert (clean.tolist(), noise.tolist()) == ([[-3.0, -3.0]], [[1.0, 1.0]])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_of(DDIMScheduler(prediction_type="sample")), "'sample'; known are epsilon, v_prediction and flow"),
        (config_of(EulerDiscreteScheduler()) | {"prediction_type": "flow_prediction"}, "a flow with a EulerDiscrete"),
    ],
)
def test_what_is_not_known_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BaseError, match=message):
        objective_of(config)


def test_an_objective_is_told_by_its_config() -> None:
    kinds = {kind: type(objective_of(config_of(scheduler))) for kind, scheduler in ALL.items()}
    assert kinds == {"epsilon": DiffusionObjective, "v_prediction": DiffusionObjective, "flow": FlowObjective}

"""Schedules: the base's own timesteps and noise, of diffusion models and of flows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from engine.errors import BaseError, InputError
from engine.sampling.levels import Level, diffusion_levels, flow_levels


def config(**changed: Any) -> dict[str, Any]:
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **changed)
    return dict(scheduler.config)


@pytest.mark.parametrize("steps", [1, 10, 50])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("to_one", [True, False])
def test_diffusion_levels_are_ddims(steps: int, spacing: str, to_one: bool) -> None:
    settings = config(timestep_spacing=spacing, steps_offset=1, set_alpha_to_one=to_one)
    scheduler = DDIMScheduler.from_config(settings)
    scheduler.set_timesteps(steps)
    levels = diffusion_levels(settings, steps)
    assert [level.timestep for level in levels] == [*scheduler.timesteps.tolist(), 0]
    kept = torch.tensor([level.signal**2 for level in levels])
    torch.testing.assert_close(kept[:-1], scheduler.alphas_cumprod[scheduler.timesteps])
    assert float(kept[-1]) == pytest.approx(1.0 if to_one else float(scheduler.alphas_cumprod[0]))
    assert all(level.signal**2 + level.spread**2 == pytest.approx(1) for level in levels)


@pytest.mark.parametrize(
    "kind", [FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, DPMSolverMultistepScheduler]
)
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_flow_levels_are_their_schedulers(kind: Any, shift: float) -> None:
    shifted = {"shift": shift} if kind is FlowMatchEulerDiscreteScheduler else {
        "flow_shift": shift, "use_flow_sigmas": True, "prediction_type": "flow_prediction",
    }  # fmt: skip
    scheduler = kind(**shifted)
    scheduler.set_timesteps(20)
    levels = flow_levels({"_class_name": kind.__name__, **scheduler.config}, 20)
    assert [level.spread for level in levels] == scheduler.sigmas.tolist()
    assert [level.timestep for level in levels[:-1]] == scheduler.timesteps.tolist()
    assert all(level.signal + level.spread == pytest.approx(1) for level in levels)
    assert levels[0].spread > 0.99 and levels[-1] == Level(0, 1.0, 0.0)
    middle = levels[10].spread
    assert middle == pytest.approx(0.5, abs=0.06) if shift == 1 else middle > 0.8


def test_a_shift_that_depends_on_the_size_is_refused() -> None:
    settings = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}
    with pytest.raises(BaseError, match="shifts its levels by the video's size"):
        flow_levels(settings, 10)


def test_more_steps_than_a_schedule_has_are_refused() -> None:
    settings = config(timestep_spacing="leading", steps_offset=1)
    assert len(diffusion_levels(settings, 999)) == 1000
    with pytest.raises(InputError, match=r"`steps` is 1000: .* choose 999 or less"):
        diffusion_levels(settings, 1000)


def test_the_ends_of_a_schedule_have_their_signal_to_noise_ratio() -> None:
    assert Level(999, 0.0, 1.0).half_log_snr == -math.inf
    assert Level(0, 1.0, 0.0).half_log_snr == math.inf
    assert Level(5, 0.8, 0.6).half_log_snr == pytest.approx(math.log(4 / 3))

"""The loss that everything is learnt by."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.bases.family import Conditioning
from engine.losses import denoised
from engine.methods.dreamvideo import SubjectConfig
from engine.training import generator_at
from tests.engine.learning_samples import LoadBase
from tests.engine.unet3d_parts import objective_of


def stub(predict: Callable[[Tensor, Tensor, Conditioning], Tensor], objective: object) -> Any:
    return SimpleNamespace(predict=predict, objective=objective, device=torch.device("cpu"))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_masked_loss_sees_nothing_outside(load: LoadBase, prediction_type: str) -> None:
    objective = load(prediction_type).objective
    clean, text = torch.randn(2, 4, 1, 8, 8), Conditioning(torch.zeros(2, 16, 32))
    mask = torch.zeros(2, 1, 1, 8, 8)
    mask[:, :, :, 2:6, 3:7] = 1
    outside, inside = 50 * (1 - mask), torch.zeros_like(mask)
    inside[:, :, :, 3, 3] = 50

    def loss(error: Tensor, mask: Tensor | None) -> float:
        """The loss of a base that predicts zeros, and `error` more."""
        off = stub(lambda noisy, *_: error.expand_as(noisy), objective)
        return float(denoised(off, SubjectConfig(), clean, text, generator_at(0, 0), mask).loss)

    assert loss(outside, mask) == loss(torch.zeros(()), mask)
    assert loss(inside, mask) > 1.5 * loss(torch.zeros(()), mask)
    assert loss(outside, None) > 100
    assert loss(torch.zeros(()), torch.ones_like(mask)) == loss(torch.zeros(()), None)
    # The mean is over everything, as the authors' is: a masked loss is smaller.
    assert loss(torch.zeros(()), mask) < 0.5 * loss(torch.zeros(()), None)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loss_is_the_mean_squared_error_to_the_bases_own_target(load: LoadBase, prediction_type: str) -> None:
    objective = objective_of(load(prediction_type))
    clean, asked = torch.randn(3, 4, 2, 8, 8), []

    def right(noisy: Tensor, timesteps: Tensor, _text: Conditioning) -> Tensor:
        asked.append(timesteps)
        levels = objective.at(timesteps)
        signal = objective.add_noise(clean, torch.zeros_like(clean), levels)
        spread = objective.add_noise(torch.zeros_like(clean), torch.ones_like(clean), levels)
        return objective.target(clean, (noisy - signal) / spread, levels) + 0.5

    loss = denoised(
        stub(right, objective), SubjectConfig(), clean, Conditioning(torch.zeros(3, 16, 32)), generator_at(0, 0)
    ).loss
    assert float(loss) == pytest.approx(0.25, rel=1e-3)
    assert len(set(asked[0].tolist())) == 3  # a timestep for each sample


@pytest.mark.parametrize("strength", [0.0, 0.1, 3.0])
def test_noise_has_its_offset(load: LoadBase, strength: float) -> None:
    objective, clean, noises = objective_of(load()), torch.zeros(8, 4, 8, 16, 16), []

    def note(noisy: Tensor, timesteps: Tensor, _text: Conditioning) -> Tensor:
        noises.append(noisy / objective.add_noise(clean, torch.ones_like(clean), objective.at(timesteps)))
        return noisy

    denoised(
        stub(note, objective),
        SubjectConfig(offset_noise=strength),
        clean,
        Conditioning(torch.zeros(8, 16, 32)),
        generator_at(0, 0),
    )
    expected = (1 / 256 + strength**2) ** 0.5
    assert float(noises[0].mean(dim=(-2, -1)).std()) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("bias", "above"), [(0.5, 0.06), (1.0, 0.25), (2.0, 0.5), (3.0, 0.63)])
def test_noisy_timesteps_are_as_likely_as_asked(load: LoadBase, bias: float, above: float) -> None:
    objective, asked = objective_of(load()), []

    def note(noisy: Tensor, timesteps: Tensor, _text: Conditioning) -> Tensor:
        asked.extend(timesteps.tolist())
        return noisy

    clean = torch.zeros(4000, 4, 1, 1, 1)
    denoised(
        stub(note, objective),
        SubjectConfig(noise_bias=bias),
        clean,
        Conditioning(torch.zeros(4000, 16, 32)),
        generator_at(0, 0),
    )
    steps = len(objective.alphas_cumprod)
    assert min(asked) >= 0 and max(asked) < steps
    assert sum(t >= 0.75 * steps for t in asked) / 4000 == pytest.approx(above, abs=0.03)

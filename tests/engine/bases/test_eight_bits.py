"""Matrices in 8 bits: what is stored, what gradients go through, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.bases.base import Base
from engine.bases.eight_bits import STORED, StoredLinear, narrowed, stored_in_8_bits, widened
from engine.bases.load import load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.composing import ComposeConfig, compose
from engine.errors import AdapterError
from engine.estimating import estimate
from engine.learning import learn_motion
from engine.planning import MotionPlan, plan_motion
from tests.engine.bases.tiny_wan import write_tiny_wan


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> BaseLocation:
    place = tmp_path_factory.mktemp("wan")
    write_tiny_wan(place)
    return BaseLocation("wan", str(place))


def loaded(location: BaseLocation, dtype: str) -> Base:
    return load_base(location, device="cpu", dtype=dtype)


def weights_of(base: Base) -> dict[str, Tensor]:
    return dict(base.denoiser.named_parameters())


@pytest.mark.parametrize("size", [1.0, 1e-4])
def test_small_weights_are_as_exact_as_large_ones(size: float) -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)) * size
    back = widened(*narrowed(weight), torch.float32)
    assert ((back - weight).abs().amax(dim=1) <= weight.abs().amax(dim=1) / 16).all()
    assert (back - weight).norm() < 0.04 * weight.norm()
    assert torch.equal(widened(*narrowed(torch.zeros(2, 3)), torch.float32), torch.zeros(2, 3))


def test_gradients_go_through_and_no_wide_copy_is_kept() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 3)).requires_grad_(False)
    wide = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 3)).requires_grad_(False)
    stored_in_8_bits(model, torch.float32)
    for ours, theirs in zip((model[0], model[2]), (wide[0], wide[2]), strict=True):
        assert isinstance(ours, StoredLinear)
        theirs.weight.data = widened(ours.weight, ours.scale, torch.float32)
        theirs.bias.data = ours.bias.data.clone()
    inputs = torch.randn(5, 6, requires_grad=True)
    others = inputs.detach().clone().requires_grad_()
    saved: list[Tensor] = []

    def save(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        output = model(inputs)
    output.square().sum().backward()
    wide(others).square().sum().backward()
    torch.testing.assert_close(inputs.grad, others.grad)
    assert {t.dtype for t in saved if t.numel() == 96} == {STORED}


def test_the_denoisers_matrices_alone_are_stored_so(location: BaseLocation) -> None:
    plain, base = weights_of(loaded(location, "bf16")), loaded(location, "fp8")
    narrow = {name for name, weight in weights_of(base).items() if weight.dtype == STORED}
    assert "blocks.0.attn1.to_q.weight" in narrow and "blocks.1.ffn.net.2.weight" in narrow
    assert not any(name.startswith(("condition_embedder", "patch_embedding")) or "norm" in name for name in narrow)
    assert plain.keys() == weights_of(base).keys()
    assert (base.dtype, base.precision) == (torch.bfloat16, "float8_e4m3fn")


def planned(location: BaseLocation, clip: Path, **options: object) -> MotionPlan:
    settings = {"size": (16, 16), "frames": 5, "steps": 2, "appearance_guidance": False, **options}
    return plan_motion([clip], "a dog runs", info=inspect_base(location), options=settings)


def test_a_motion_is_learnt_and_composed_with(location: BaseLocation, clip: Path, tmp_path: Path) -> None:
    base = loaded(location, "fp8")
    before = {name: weight.clone() for name, weight in weights_of(base).items()}
    learnt = learn_motion(planned(location, clip, learning_rate=0.01), base, tmp_path / "motion")
    assert learnt.final_loss > 0
    assert all(torch.equal(weight.float(), before[name].float()) for name, weight in weights_of(base).items())
    config = ComposeConfig(steps=2, frames=5, size=(16, 16), guidance_scale=1)
    made: Any = compose(loaded(location, "fp8"), "a dog", seed=0, config=config)
    wide: Any = compose(loaded(location, "bf16"), "a dog", seed=0, config=config)
    assert made.record["dtype"] == "float8_e4m3fn"
    assert (made.frames != wide.frames).any()
    assert abs(made.frames.astype(float) - wide.frames.astype(float)).mean() < 10


def test_weights_in_8_bits_are_not_fine_tuned(location: BaseLocation, clip: Path, tmp_path: Path) -> None:
    plan = plan_motion(
        [clip], "a dog runs", info=inspect_base(location),
        options={"size": (16, 16), "frames": 5, "steps": 1}, method="modelscope",
    )  # fmt: skip
    with pytest.raises(AdapterError, match="`dtype` bf16"):
        learn_motion(plan, loaded(location, "fp8"), tmp_path)


def test_the_estimate_counts_it(location: BaseLocation, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU: a processor reads the wide ones first."""
    plan = planned(location, clip)
    with monkeypatch.context() as patch:
        patch.setattr("engine.estimating.matrix_rate", lambda *_: 1e12)
        patch.setattr("engine.bases.load.choose_device", lambda _: torch.device("cuda"))
        wide, narrow = (estimate(plan, location, device="cuda", dtype=dtype) for dtype in ("bf16", "fp8"))
    fewer = sum(w.numel() for w in weights_of(loaded(location, "fp8")).values() if w.dtype == STORED)
    assert wide.peak_bytes - narrow.peak_bytes == fewer

"""Offloading without a GPU: what lies where, that only copies of what runs are read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine import estimating
from engine.adapters.bottleneck import AdapterSet
from engine.adapters.weight_deltas import WeightDeltas
from engine.bases import offloading
from engine.bases.base import Base
from engine.bases.eight_bits import STORED, narrowable, stored_in_8_bits
from engine.bases.family import Compute
from engine.bases.load import choose_compute, load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.bases.offloading import blocks_of, offload
from engine.errors import AdapterError, InputError
from engine.estimating import Estimate, estimate
from engine.planning import SubjectPlan, check_offload, plan_subject
from tests.engine.bases.conftest import Sample
from tests.engine.bases.tiny_wan import write_tiny_wan
from tests.engine.sample_adapters import filled

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> BaseLocation:
    folder = tmp_path_factory.mktemp("wan")
    write_tiny_wan(folder)
    return BaseLocation("wan", str(folder))


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the processor's memory couldn't be read by what computes: there are no numbers but in copies."""
    known: dict[int, Tensor] = {}

    def kept(tensor: Tensor, _device: torch.device) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        unreadable = torch.full_like(tensor, torch.nan, dtype=torch.float32).to(tensor.dtype)
        known[unreadable.data_ptr()] = tensor
        return unreadable

    def copied(tensor: Tensor, _device: torch.device) -> Tensor:
        copy = known.get(tensor.data_ptr(), tensor).clone()
        return nn.Parameter(copy, requires_grad=False) if isinstance(tensor, nn.Parameter) else copy

    monkeypatch.setattr(offloading, "_kept", kept)
    monkeypatch.setattr(offloading, "_copied", copied)


def learnt_from(base: Base) -> dict[str, Tensor]:
    """The prediction, and the gradients of adapters at all sites, under checkpointing."""
    weights = filled(AdapterSet.create(base.sites, 0.5, condition_width=None, seed=0), 1)
    noisy = torch.randn(1, *base.layout.shape(5, (16, 16)), generator=torch.Generator().manual_seed(0))
    text = base.text.encode(["a dog runs"])
    with weights.attached(base), base.family.checkpointed(base.denoiser):
        prediction = base.predict(noisy, torch.tensor([620]), text)
        prediction.square().mean().backward()
    gradients = {name: p.grad for name, p in weights.parameters().items() if p.grad is not None}
    assert gradients.keys() == weights.parameters().keys()
    return {"prediction": prediction.detach(), **gradients}


def test_what_runs_and_its_backward_pass_read_copies_alone(sample: Sample, hidden: None) -> None:
    base = sample.load()
    expected = learnt_from(base)
    names = list(base.denoiser.state_dict())
    offload(base.denoiser, CPU)
    found = learnt_from(base)
    assert list(base.denoiser.state_dict()) == names
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    block = next(iter(blocks_of(base.denoiser).values()))
    assert all(p.isnan().all() for p in block.parameters()), "the copies are gone afterwards"


def test_matrices_in_8_bits_are_offloaded_as_they_are(location: BaseLocation, hidden: None) -> None:
    base = load_base(location, device="cpu")
    stored_in_8_bits(base.denoiser, torch.float32)
    expected = learnt_from(base)
    offload(base.denoiser, CPU)
    found = learnt_from(base)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_copies_leave_when_a_layer_fails(location: BaseLocation, hidden: None) -> None:
    base = load_base(location, device="cpu")
    offload(base.denoiser, CPU)
    layer = base.denoiser.get_submodule("blocks.1.ffn.net.2")
    with pytest.raises(RuntimeError):
        layer(torch.zeros(1, 1))
    assert layer.get_parameter("weight").isnan().all()


def test_blocks_stay_and_the_rest_goes_to_the_device(sample: Sample) -> None:
    """The meta device stands for the GPU."""
    denoiser = sample.load().denoiser
    offload(denoiser, torch.device("meta"))
    blocks = tuple(f"{name}." for name in blocks_of(denoiser))
    devices = {name: tensor.device.type for name, tensor in denoiser.state_dict().items()}
    assert blocks
    assert devices == {name: "cpu" if name.startswith(blocks) else "meta" for name in devices}


def test_the_processor_has_nothing_to_offload(location: BaseLocation) -> None:
    for asked in (lambda: choose_compute("cpu", "bf16", offload=True), lambda: load_base(location, offload=True)):
        with pytest.raises(InputError, match="there is nothing to offload"):
            asked()


Plan = Callable[..., SubjectPlan]


@pytest.fixture
def plan(location: BaseLocation, photographs: list[Path]) -> Plan:
    def planned(method: str = "dreamvideo", **options: object) -> SubjectPlan:
        given = {"size": (32, 32), "batch_size": 1, **options}
        return plan_subject(photographs, "dog", info=inspect_base(location), options=given, method=method)

    return planned


def test_what_holds_all_weights_in_any_case_is_refused(plan: Plan) -> None:
    check_offload(plan())
    with pytest.raises(InputError, match="dreamix trains the base's own"):
        check_offload(plan("dreamix"))
    with pytest.raises(InputError, match="needs `gradient_checkpointing`"):
        check_offload(plan(gradient_checkpointing=False))


def test_changes_of_offloaded_weights_themselves_are_refused(location: BaseLocation) -> None:
    base = load_base(location, device="cpu")
    base.compute = Compute(CPU, torch.float32, offload=True)
    deltas = WeightDeltas.create(["blocks.0.attn1.to_q.weight"], base.denoiser)
    with pytest.raises(AdapterError, match="drop `offload`"), deltas.attached(base):
        pass


@pytest.mark.parametrize("stored", [None, STORED])
def test_the_estimate_counts_one_block_of_those_offloaded(
    location: BaseLocation, plan: Plan, monkeypatch: pytest.MonkeyPatch, stored: torch.dtype | None
) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(estimating, "matrix_rate", lambda *_: 1e12)

    def chosen(_device: Any, _dtype: Any, *, offload: bool = False) -> Compute:
        return Compute(gpu, torch.bfloat16, stored, offload)

    monkeypatch.setattr(estimating, "choose_compute", chosen)

    def told(offload: bool) -> Estimate:
        return estimate(plan(), location, device="cuda", dtype="bf16", offload=offload)

    denoiser = load_base(location, device="cpu").denoiser
    narrow = {id(layer.weight) for layer in narrowable(denoiser).values()} if stored is not None else set()
    bytes_of = [
        sum(p.numel() * (1 if id(p) in narrow else 2) for p in block.parameters())
        for block in blocks_of(denoiser).values()
    ]
    assert told(False).peak_bytes - told(True).peak_bytes == sum(bytes_of) - max(bytes_of) > 0

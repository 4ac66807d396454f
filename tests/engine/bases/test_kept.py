"""What is counted as kept for the backward pass, against what is kept."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import checkpoint

from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.kept import counting_kept
from tests.engine.bases.conftest import MakeBase
from tests.engine.bases.tiny_wan import write_tiny_wan

SIZE, FRAMES = (64, 64), 5


@pytest.fixture(params=["unet3d", "wan"])
def base(request: pytest.FixtureRequest, make_base: MakeBase, tmp_path: Path) -> Base:
    if request.param == "wan":
        write_tiny_wan(tmp_path)
    folder = tmp_path if request.param == "wan" else make_base()
    return load_base(BaseLocation("tiny", str(folder)), device="cpu")


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_attention_keeps_no_weights_of_pairs(device: str) -> None:
    query, key, value = (torch.zeros(1, 2, 300, 8, device=device, requires_grad=True) * 1 for _ in range(3))
    with counting_kept() as kept:
        F.scaled_dot_product_attention(query, key, value)
    assert kept.bytes == 4 * query.numel() * 4
    before = F.scaled_dot_product_attention
    with pytest.raises(ZeroDivisionError), counting_kept():
        raise ZeroDivisionError
    assert F.scaled_dot_product_attention is before


def test_of_what_is_computed_again_only_the_largest_part_counts() -> None:
    parts = [nn.Sequential(nn.Linear(8, width), nn.GELU(), nn.Linear(width, 8)) for width in (16, 64, 32)]
    state = torch.zeros(10, 8, device="meta", requires_grad=True) * 1
    with counting_kept() as kept:
        for part in parts:
            state = checkpoint.checkpoint(part.to("meta").requires_grad_(False), state, use_reentrant=False)
    # Each part's input; and inside the largest what goes into its GELU.
    assert kept.bytes == (3 * 10 * 8 + 10 * 64) * 4


@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_is_counted_without_weights_is_what_is_kept_with_them(base: Base, checkpointing: bool) -> None:
    skeleton = base.family.skeleton(base.info)
    shape, text = (1, *base.layout.shape(FRAMES, SIZE)), base.text.encode(["a dog"]).embeddings

    def run(model: nn.Module, device: str) -> None:
        known = Conditioning(torch.zeros(text.shape, device=device, requires_grad=True))
        recomputing = base.family.checkpointed(model) if checkpointing else nullcontext()
        with recomputing:
            base.family.predict(model, torch.zeros(shape, device=device), torch.ones(1, device=device), known)

    with counting_kept() as kept:
        run(skeleton, "meta")
    storages: dict[int, tuple[Tensor, int]] = {}

    weights = {parameter.untyped_storage().data_ptr() for parameter in base.denoiser.parameters()}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = (tensor, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        run(base.denoiser, "cpu")
    found = sum(size for _, size in storages.values())
    if checkpointing:
        assert found < kept.bytes
    else:
        assert kept.bytes == pytest.approx(found, rel=0.1)

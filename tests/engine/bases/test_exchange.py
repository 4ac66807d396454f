"""LoRAs of the family `wan` in files for other programs: read by diffusers' own loader, and back to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.choosing import APPEARANCE, IDENTITY, LowRank
from engine.adapters.exchange import Exchange, read_exchange, write_exchange
from engine.adapters.forms import fresh, restored
from engine.adapters.learnt import Learnt
from engine.adapters.storage import AdapterFiles
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.bases.unet3d import UNET3D
from engine.errors import AdapterError
from engine.files import FileThereError

FORMS: tuple[Exchange, ...] = ("diffusers", "comfyui")
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def base(wan_folder: Path) -> Base:
    return load_base(BaseLocation("wan", str(wan_folder)), device="cpu")


def filled(weights: Learnt) -> Learnt:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in weights.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return weights


@pytest.fixture(scope="module")
def adapter(base: Base) -> AdapterFiles:
    """A subject's updates of everything that has a name elsewhere, but for queries and outputs."""
    trained = LowRank(APPEARANCE, rank=3)
    weights = filled(fresh(trained, base.sites, base.labels, base.denoiser, condition_width=None, seed=0))
    return AdapterFiles("subject", "lora", base.fingerprint, weights.state(), weights.widths, form="low-rank")


@pytest.fixture
def write(adapter: AdapterFiles, base: Base, tmp_path: Path) -> Callable[[Exchange], Path]:
    def write(form: Exchange) -> Path:
        path = tmp_path / f"{form}.safetensors"
        size = write_exchange(adapter, base.family, form, path, {"trigger": "sks dog"}, replace=False)
        assert path.stat().st_size == size
        return path

    return write


def read(path: Path, base: Base) -> tuple[dict[str, Tensor], dict[str, str]]:
    return read_exchange(path, base.family, base.family.skeleton(base.info))


@each_form
def test_what_comes_back_is_equal_to_the_bit(
    write: Callable[[Exchange], Path], form: Exchange, adapter: AdapterFiles, base: Base
) -> None:
    weights, about = read(write(form), base)
    assert weights.keys() == adapter.weights.keys()
    assert all(torch.equal(tensor, adapter.weights[key]) for key, tensor in weights.items())
    assert about["trigger"] == "sks dog"


@each_form
@torch.no_grad()
def test_diffusers_loader_takes_every_key_and_predicts_the_same(
    write: Callable[[Exchange], Path], form: Exchange, adapter: AdapterFiles, base: Base, wan_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    pipeline: Any = WanPipeline.from_pretrained(wan_folder, torch_dtype=torch.float32)
    path = write(form)
    pipeline.load_lora_weights(path)
    assert not [record for record in caplog.records if "key" in record.message.lower()]
    loaded = {n: p for n, p in pipeline.transformer.named_parameters() if ".lora_" in n}
    assert len(loaded) == len(adapter.weights) == len(load_file(path))
    inputs = (torch.randn(1, *base.layout.shape(5, (32, 16))), torch.tensor([500.0]), torch.randn(1, 512, 12))
    expected = pipeline.transformer(*inputs, return_dict=False)[0]
    bare = base.denoiser(*inputs, return_dict=False)[0]
    with restored("low-rank", adapter.weights).attached(base):
        found = base.denoiser(*inputs, return_dict=False)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert (found - bare).abs().max() > 0.01


def test_comfyui_gets_the_models_own_names(write: Callable[[Exchange], Path]) -> None:
    names = {key.removesuffix(".lora_A.weight") for key in load_file(write("comfyui")) if "lora_A" in key}
    assert {name for name in names if ".blocks.1." in name} == {
        f"diffusion_model.blocks.1.{leaf}" for leaf in ("self_attn.v", "cross_attn.k", "cross_attn.v", "ffn.0", "ffn.2")
    }


@pytest.mark.parametrize("alpha", [1.5, 3.0])
def test_files_of_others_are_read_with_their_alpha(
    write: Callable[[Exchange], Path], alpha: float, adapter: AdapterFiles, base: Base
) -> None:
    path = write("comfyui")
    old = {"lora_A": "lora_down", "lora_B": "lora_up"}
    tensors = {
        key.replace("lora_A", old["lora_A"]).replace("lora_B", old["lora_B"]): tensor
        for key, tensor in load_file(path).items()
    }
    alphas = {key.replace("lora_up.weight", "alpha"): torch.tensor(alpha) for key in tensors if "lora_up" in key}
    save_file(tensors | alphas, path)
    weights, _ = read(path, base)
    for key, tensor in adapter.weights.items():
        assert torch.equal(weights[key], tensor * (alpha / 3) if "lora_B" in key else tensor)


@pytest.mark.parametrize("spoilt", ["unknown", "half", "shape", "rank", "alpha", "empty"])
def test_a_file_that_would_be_read_in_part_is_refused(
    write: Callable[[Exchange], Path], spoilt: str, base: Base
) -> None:
    path = write("diffusers")
    tensors = load_file(path)
    first = next(iter(tensors))
    if spoilt == "unknown":
        tensors["transformer.blocks.0.norm2.diff"] = torch.zeros(3)
    elif spoilt == "half":
        del tensors[first]
    elif spoilt == "shape":
        tensors[first] = torch.zeros(4, 5)
    elif spoilt == "rank":
        tensors[first] = torch.zeros(0, tensors[first].shape[1])
        second = first.replace("lora_A", "lora_B")
        tensors[second] = torch.zeros(len(tensors[second]), 0)
        tensors[first.replace("lora_A.weight", "alpha")] = torch.tensor(1.0)
    elif spoilt == "alpha":
        tensors[first.replace("lora_A.weight", "alpha")] = torch.ones(2)
    else:
        tensors = {}
    save_file(tensors, path)
    with pytest.raises(AdapterError, match="norm2.diff" if spoilt == "unknown" else str(path)):
        read(path, base)


def test_what_has_no_form_elsewhere_is_refused(adapter: AdapterFiles, base: Base, tmp_path: Path) -> None:
    bottlenecks = AdapterSet.create(IDENTITY.sites(base.sites), 0.5, condition_width=None, seed=0)
    other = AdapterFiles("subject", "dreamvideo", base.fingerprint, bottlenecks.state(), bottlenecks.widths)
    path = tmp_path / "out.safetensors"
    with pytest.raises(AdapterError, match="`method` lora"):
        write_exchange(other, base.family, "diffusers", path, {}, replace=False)
    with pytest.raises(AdapterError, match="ComfyUI"):
        write_exchange(adapter, UNET3D, "comfyui", path, {}, replace=False)
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(FileThereError):
        write_exchange(adapter, base.family, "diffusers", path, {}, replace=False)
    assert path.read_text() == "mine"

"""VGen's denoiser as a base: its weights under diffusers' names, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import TextToVideoSDPipeline
from safetensors.torch import load_file
from torch import Tensor

from engine.bases.fingerprint import fingerprint
from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.errors import BaseError
from engine.vgen.denoiser import write_base
from tests.engine.vgen.authors_files import info_of, vgen_state

MakeBase = Callable[..., Path]


@pytest.mark.parametrize("wrapped", [False, True])
def test_it_is_the_base_that_it_was_made_from(make_base: MakeBase, tmp_path: Path, wrapped: bool) -> None:
    state = vgen_state(make_base())
    torch.save({"state_dict": state, "step": 632000} if wrapped else state, tmp_path / "model.pth")
    beside = info_of(make_base(seed=1))
    write_base(tmp_path / "model.pth", beside, tmp_path / "made")
    stored = "diffusion_pytorch_model.safetensors"
    made, original = (load_file(folder / "unet" / stored) for folder in (tmp_path / "made", make_base()))
    assert made.keys() == original.keys()
    assert all(torch.equal(made[name], original[name]) for name in original)
    info = inspect_base(BaseLocation("made", str(tmp_path / "made")))
    assert info.components.keys() == beside.components.keys()
    assert len({fingerprint(info), fingerprint(beside), fingerprint(info_of(make_base()))}) == 3


def test_diffusers_makes_a_pipeline_of_it(make_base: MakeBase, tmp_path: Path) -> None:
    shutil.copytree(make_base(), tmp_path / "beside")
    shutil.copy(Path(EMBEDDED.model) / "model_index.json", tmp_path / "beside")
    torch.save(vgen_state(make_base()), tmp_path / "model.pth")
    write_base(tmp_path / "model.pth", info_of(tmp_path / "beside"), tmp_path / "made")
    pipeline = TextToVideoSDPipeline.from_pretrained(tmp_path / "made")
    assert pipeline.unet.config.cross_attention_dim == 32


def without_one(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name != "out.2.bias"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_one, "no out.2.bias, which is the denoiser's conv_out.bias"),
        (lambda state: {**state, "fps_embedding.0.weight": torch.ones(2)}, "1 keys .* such as fps_embedding.0.weight"),
        (lambda state: {**state, "out.2.bias": torch.ones(5)}, r"out.2.bias has shape \(5,\), and the denoiser \(4,\)"),
        (lambda state: {**state, "out.2.bias": torch.full((4,), float("inf"))}, "no numbers"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_left(
    make_base: MakeBase, tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str
) -> None:
    torch.save(change(vgen_state(make_base())), tmp_path / "model.pth")
    with pytest.raises(BaseError, match=message):
        write_base(tmp_path / "model.pth", info_of(make_base()), tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_a_folder_that_is_there_is_left_alone(make_base: MakeBase, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(BaseError, match="is there already"):
        write_base(tmp_path / "model.pth", info_of(make_base()), tmp_path / "made")

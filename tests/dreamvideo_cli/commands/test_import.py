"""`dv import` of a LoRA: what its file says of it, what dv then shows, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.engine.conftest import write_base

Dv = Callable[..., Any]
LAYER = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v"
AS_CAP = ["--kind", "subject", "--trigger", "sks cap"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base")
    write_base(place)
    return place


@pytest.fixture
def lora(checked: Dv, folder: Path, tmp_path: Path) -> Path:
    """Somebody else's file for the base that is used, in which two words are its name."""
    checked("base", "add", "small", folder)
    checked("base", "use", "small")
    path = tmp_path / "my cap.safetensors"
    save_file({f"{LAYER}.lora_A.weight": torch.ones(2, 32), f"{LAYER}.lora_B.weight": torch.ones(32, 2)}, path)
    return path


def test_nothing_is_said_of_how_it_was_learnt(checked: Dv, lora: Path) -> None:
    assert checked("import", lora, *AS_CAP).out == "my-cap@1\n"
    shown = checked("show", "my-cap").out
    assert "Imported" in shown
    assert not [word for word in ("Learnt", "final loss", "Device", "Steps") if word in shown]


def test_a_dry_run_checks_it_and_takes_nothing_in(checked: Dv, lora: Path) -> None:
    assert checked("import", lora, *AS_CAP, "--dry-run").out == ""
    assert "--kind" in checked("import", lora, "--dry-run", check=2).err
    assert checked("list", "--names").out == ""


def test_what_it_does_not_read_is_refused(checked: Dv, lora: Path) -> None:
    assert "leave out names" in checked("import", lora, "cap", *AS_CAP, check=2).err
    assert "leave out names" in checked("import", lora.with_suffix(".pth"), "cap", check=2).err
    assert "--trigger is a subject's" in checked("import", lora, "--kind", "motion", "--trigger", "sks", check=2).err
    assert checked("list", "--names").out == ""


@pytest.mark.parametrize(
    "spoilt",
    [{"hyperparameters": 5}, {"final_loss": float("nan")}, {"seed": 2**70}, {"method": "a\0b"}, {"ended_at": "soon"}],
)
def test_what_somebody_changed_in_its_header_is_not_believed(
    checked: Dv, lora: Path, tmp_path: Path, spoilt: dict[str, object]
) -> None:
    checked("import", lora, *AS_CAP, "--as", "cap")
    checked("export", "cap", "--format", "diffusers", "-o", "cap.safetensors")
    file = tmp_path / "cap.safetensors"
    with safe_open(file, framework="pt") as opened:
        about = opened.metadata()
    assert checked("import", file).out == "cap@2\n"
    changed = json.dumps({**json.loads(about["dv_adapter"]), **spoilt})
    save_file(load_file(file), file, {**about, "dv_adapter": changed})
    assert "--kind" in checked("import", file, check=2).err
    assert checked("import", file, "--kind", "subject").out == "cap@3\n"

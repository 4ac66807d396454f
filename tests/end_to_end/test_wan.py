"""The commands of docs/wan.md, as they stand, on a folder of the hub's layout with a tiny model in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dreamvideo_cli.main import run
from tests.engine.bases.tiny_wan import write_tiny_image_encoder, write_tiny_wan

ROOT = Path(__file__).parents[2]
SHORT = {
    ("subject", "learn"): "--size 32x32 --batch-size 2 --token-steps 2 --adapter-steps 2",
    ("motion", "learn"): "--size 32x32 --frames 5 --steps 2",
    ("compose",): "--size 32x32 --frames 5 --steps 2",
}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs, a clip, the hub's model and an image encoder; the test works in it."""
    monkeypatch.setenv("DV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_tiny_wan(tmp_path / "hub")
    write_tiny_image_encoder(tmp_path / "encoder")
    draw = np.random.default_rng(0)
    for place, count in (("photos", 3), ("clips", 9)):
        (tmp_path / place).mkdir(parents=True)
        for index in range(count):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{index}.png")
    return tmp_path


def commands(text: str) -> list[list[str]]:
    """The commands of a page: their arguments. Hours of pretraining are another page's subject."""
    blocks = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "engine.pretraining" not in block]
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def test_the_pages_commands_run_on_the_hubs_layout(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "wan.md").read_text(encoding="utf-8")
    page = re.sub(r"Wan-AI/\S+-1\.3B-Diffusers", "hub", page)
    page = re.sub(r"laion/\S+", "encoder", page).replace("--dtype bf16 ", "")
    told: dict[str, Any] = {}
    for program, *arguments in commands(page):
        assert program == "dv"
        short = next((SHORT[key] for key in SHORT if tuple(arguments[: len(key)]) == key), "")
        code = run([*arguments, *shlex.split(short)])
        told[" ".join(arguments[:2])] = said = capsys.readouterr()
        assert code == 0, said.err
    assert "windows encoded ahead" in told["motion learn"].err
    assert told["subject learn"].out == "chowchow@1\n"
    assert (there / "out.mp4").stat().st_size > 500
    spin, spun = (there / "home" / "adapters" / name / "1" / "adapter.safetensors" for name in ("spin", "spun"))
    assert spin.read_bytes() == spun.read_bytes()
    with safe_open(there / "spin.safetensors", framework="pt") as file:
        about = file.metadata()
    assert {key: about[key] for key in ("base", "trigger", "shift", "sampler", "steps", "guidance_scale")} == {
        "base": "wan", "trigger": "", "shift": "3.0", "sampler": "unipc", "steps": "50", "guidance_scale": "5",
    }  # fmt: skip


def test_a_lora_of_somebody_else_needs_to_be_told_of(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", "add", "wan", "hub"]) == run(["base", "use", "wan"]) == 0
    wide, rank = 24, 2
    updates = {"lora_A": torch.randn(rank, wide), "lora_B": torch.randn(wide, rank)}
    save_file(
        {f"diffusion_model.blocks.0.self_attn.v.{leaf}.weight": t for leaf, t in updates.items()}, "hat.safetensors"
    )

    def told(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["import", "hat.safetensors", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    assert told()[0] == 2 and "--kind" in told()[1]
    assert told("--kind", "subject")[0] == 2 and "--trigger" in told("--kind", "subject")[1]
    assert told("--kind", "subject", "--trigger", "sks hat") == (0, "hat@1\n")
    assert run(["compose", "a hat", "--subject", "hat", *shlex.split(SHORT["compose",]), "-o", "hat.mp4"]) == 0
    code, said = told("--kind", "subject", "--trigger", "sks hat", "--base", "embedded")
    assert code == 2 and "hat.safetensors" in said
    assert run(["export", "hat", "--format", "diffusers", "-o", "back.safetensors"]) == 0
    back = load_file("back.safetensors")
    assert {key.split(".")[-2] for key in back} == updates.keys()
    assert all(torch.equal(back[key], updates[key.split(".")[-2]]) for key in back)

"""Going on from an exported base: every weight arrives in the stage that trains it, and nothing is trained twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from engine.bases.location import EMBEDDED, inspect_base
from engine.pretraining import autoencoder, denoiser, self_supervised, text_image, tokenizer
from engine.pretraining.settings import CPU
from engine.pretraining.stage import run_stage, steps_taken
from engine.pretraining.starting import start_from
from engine.training import LoopConfig

BASE = inspect_base(EMBEDDED).folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    start_from(BASE, folder)
    return folder


def test_every_weight_has_the_name_that_its_stage_gives_it(work: Path) -> None:
    words = tokenizer.kept(work / "tokenizer", [], merges=0, max_tokens=0)
    vae = autoencoder.build(CPU.autoencoder)
    towers = text_image.build(CPU.text_image, words)
    models = {
        "autoencoder": vae,
        "text_image": towers,
        "clips": denoiser.Conditioned(denoiser.build(CPU.denoiser, vae, CPU.text_image.width), towers.text_model),
        "judge": text_image.build(CPU.judge, words),
        "self_supervised": self_supervised.Student(CPU.self_supervised),
    }
    only_for_training = ("head.", "prototypes", "text_projection", "logit_scale", "position_ids")
    for name, model in models.items():
        missing, unexpected = model.load_state_dict(load_file(work / f"{name}.safetensors"), strict=False)
        assert unexpected == [], name
        assert [key for key in missing if not any(part in key for part in only_for_training)] == [], name


def test_stages_know_the_steps_they_took_and_a_folder_is_not_started_twice(work: Path) -> None:
    assert steps_taken(work, "autoencoder") > 0
    with pytest.raises(FileExistsError, match="autoencoder"):
        start_from(BASE, work)


def test_a_stage_goes_on_for_the_rest_and_is_then_finished(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    seen: list[int] = []

    def loss_at(step: int, _micro: int) -> torch.Tensor:
        seen.append(step)
        return model(torch.ones(1, 2)).square().mean()

    def run(steps: int) -> bool:
        loop = LoopConfig(steps=steps, learning_rate=0.1)
        return run_stage(
            "toy", model, loss_at, loop,
            work=tmp_path, accelerator=Accelerator(cpu=True), ema_decay=0.5, settings=loop,
        )  # fmt: skip

    assert [run(3), run(5), run(5)] == [True, True, False]
    assert seen == [0, 1, 2, 3, 4]
    assert steps_taken(tmp_path, "toy") == 5
    assert not (tmp_path / "toy.snapshot").exists()

"""Going on from an exported base: every weight arrives in the stage that trains it, and nothing is trained twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from engine.bases.location import EMBEDDED, inspect_base
from engine.pretraining import autoencoder, denoiser, self_supervised, text_image, tokenizer
from engine.pretraining.emoji import Drawings
from engine.pretraining.settings import CPU
from engine.pretraining.stage import run_stage, steps_taken
from engine.pretraining.starting import start_from
from engine.training import LoopConfig
from engine.world import clips, motions, sprites

BASE = inspect_base(EMBEDDED).folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    start_from(BASE, folder)
    return folder


def known_drawings() -> Drawings:
    words = sprites.words("known")
    return Drawings(sprites.textures()[[sprites.index_of(word) for word in words]], words)


def test_every_weight_has_the_name_that_its_stage_gives_it(work: Path) -> None:
    words = tokenizer.kept(work / "tokenizer", [], merges=0, max_tokens=0)
    vae = autoencoder.build(CPU.autoencoder)
    towers = text_image.build(CPU.text_image, words)
    models = {
        "autoencoder": vae,
        "decoder": vae,
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


def test_the_latents_keep_their_scale_and_a_sharper_decoder_its_latents(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work, tmp_path / "work")
    settings = replace(CPU.decoder, loop=LoopConfig(steps=steps_taken(work, "decoder") + 2, learning_rate=1e-3))
    accelerator, drawings = Accelerator(cpu=True), known_drawings()
    vae = autoencoder.pretrain(CPU.autoencoder, drawings, tmp_path / "work", accelerator)
    assert vae.config.scaling_factor == AutoencoderKL.load_config(BASE / "vae")["scaling_factor"]
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    autoencoder.sharpen(replace(settings, batch_size=2), CPU.autoencoder, vae, drawings, tmp_path / "work", accelerator)
    changed = {name for name, tensor in vae.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)


def test_captions_name_motions_by_made_up_words_too() -> None:
    spec = clips.ClipSpec("dog", "beach", "left")
    generator = torch.Generator().manual_seed(0)
    settings = replace(CPU.denoiser, odd_word_share=0.5)
    captions = [denoiser.caption_of(spec, settings, generator) for _ in range(200)]
    odd = [c for c in captions if c.endswith(("ing", "ing on the beach")) and "moving" not in c]
    assert 50 < len(odd) < 150
    assert all(c.startswith("a dog ") for c in odd)
    assert len(set(odd)) > 40
    assert "a dog moving left on the beach" in captions
    assert "" in captions


def test_nameless_motions_stay_in_the_frame_and_are_called_by_made_up_words() -> None:
    specs = denoiser.draw_nameless(50, 0)
    assert len({spec.points for spec in specs}) == 50
    for spec in specs:
        path = spec.path()
        assert (float(path.x[0]), float(path.y[-1])) == pytest.approx((spec.points[0][0], spec.points[-1][1]))
        places = torch.cat([path.x, path.y])
        assert bool(((places > 0.2) & (places < 0.8)).all())
    generator = torch.Generator().manual_seed(0)
    known = {motion.phrase for motion in motions.ALL.values()}
    said = [denoiser.caption_of(spec, CPU.denoiser, generator) for spec in specs * 4]
    assert not [caption for caption in said if any(phrase in caption for phrase in known)]
    assert sum("ing" in caption for caption in said) > 80

"""The recipe of Wan's miniature, small: all stages, a stop in between, an export that the family loads."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file

from engine.bases.load import load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.composing import ComposeConfig, compose
from engine.pretraining import pieces, pools, traits
from engine.pretraining.__main__ import pretrain
from engine.pretraining.denoiser import Batches, Named, build, denoising_loss
from engine.pretraining.export import copy_world_models, export
from engine.pretraining.miniature import miniature_of, objective_for
from engine.pretraining.settings import (
    AutoencoderSettings,
    DecoderSettings,
    Recipe,
    WanSettings,
    WindowSettings,
    with_steps,
)
from engine.pretraining.stage import Run, steps_taken
from engine.pretraining.starting import start_from
from engine.pretraining.wan import PlainAttention, WanMiniature
from engine.training import LoopConfig
from engine.world.individuals import individual


def _loop(steps: int) -> LoopConfig:
    return LoopConfig(steps=steps, learning_rate=1e-3, optimizer="muon")


TINY = Recipe(
    autoencoder=AutoencoderSettings(
        _loop(3), batch_size=1, widths=(4, 4, 8, 8), latent_channels=4, windows=WindowSettings(1, start=0.0)
    ),
    denoiser=WanSettings(
        _loop(2), _loop(3), image_batch=4, clip_batch=2, pool_clips=3, image_step_share=0.3, text_width=16,
        text_layers=1, width=24, layers=2, attention_head_dim=12, compiled=False,
    ),
    decoder=DecoderSettings(_loop(2), batch_size=1),
    photographs=48,
)  # fmt: skip
"""Every stage, at a size that takes seconds."""


def run_in(work: Path) -> Run:
    return Run(work, Accelerator(cpu=True))


@pytest.fixture(scope="module")
def miniature() -> WanMiniature:
    found = miniature_of(TINY)
    assert isinstance(found, WanMiniature)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished work folder and the base that was exported from it."""
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("base")
    pretrain(TINY, run_in(work), out, TINY.stages)
    export(TINY, work, out)
    return work, out


def test_the_export_is_a_base_of_the_family_and_composes(trained: tuple[Path, Path]) -> None:
    info = inspect_base(BaseLocation("tiny", str(trained[1])))
    assert (info.family, info.layout.frame_step, info.layout.scale, info.text_tokens) == ("wan", 4, 8, 32)
    base = load_base(info.location)
    size, frames = info.recommended["compose"]["size"], info.recommended["compose"]["frames"]
    assert (size, frames) == ([64, 64], 9)
    config = ComposeConfig(sampler="unipc", steps=2, frames=9, size=(64, 64), guidance_scale=3.0)
    made = compose(base, "a brown dog trozuping on the beach", seed=0, config=config)
    assert made.frames.shape == (9, 64, 64, 3)


def test_latents_are_normalised_by_channel_and_a_clip_has_few_frames_of_them(trained: tuple[Path, Path]) -> None:
    work, out = trained
    config = json.loads((out / "vae" / "config.json").read_text())
    assert len(config["latents_mean"]) == len(config["latents_std"]) == 4
    assert config["latents_std"] != [1.0] * 4
    latents = load_file(work / "clips.latents.safetensors")["latents"].float()
    assert latents.shape == (3, 3, 4, 8, 8)
    spread = latents.transpose(1, 2).transpose(0, 1).flatten(1).std(dim=1)
    torch.testing.assert_close(spread, torch.ones(4), rtol=0.05, atol=0.0)


def test_a_base_goes_on_where_its_export_stopped(trained: tuple[Path, Path], tmp_path: Path) -> None:
    work, base = trained
    for pool in (f"photographs-{TINY.photographs}", "clips-3x9"):
        (tmp_path / pool).symlink_to(work / pool)
    start_from(base, tmp_path, TINY)
    pretrain(with_steps(TINY, {"clips": 4}), run_in(tmp_path), tmp_path / "out", ["clips"])
    assert {name: steps_taken(tmp_path, name) for name in TINY.stages} == {
        "autoencoder": 3, "images": 2, "clips": 4, "decoder": 2,
    }  # fmt: skip


def test_stages_of_other_bases_are_not_the_recipes_own() -> None:
    with pytest.raises(ValueError, match="no stage judge: stages are autoencoder, images, clips, decoder"):
        with_steps(TINY, {"judge": 1})


def test_image_encoder_and_judges_are_taken_from_another_base(trained: tuple[Path, Path], tmp_path: Path) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    for name in ("image_encoder", "judges/clip", "judges/dino"):
        (other / name).mkdir(parents=True)
        (other / name / "config.json").write_text(name)
    copy_world_models(other, out)
    export(TINY, trained[0], out)
    assert (out / "judges/clip/config.json").read_text() == "judges/clip"
    assert (out / "image_encoder/config.json").read_text() == "image_encoder"
    assert not (out / "judges/clip/tokenizer.json").exists(), "a judge's tokenizer is its own"
    shutil.rmtree(other / "judges/dino")
    with pytest.raises(FileNotFoundError):
        copy_world_models(other, tmp_path / "more")


@pytest.mark.parametrize("frames", [1, 9])
def test_windows_are_coded_as_diffusers_own_class_codes_them(miniature: WanMiniature, frames: int) -> None:
    vae = miniature.autoencoder().eval()
    for parameter in vae.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    plain = AutoencoderKLWan.from_config(vae.config).eval()
    plain.load_state_dict(vae.state_dict())
    windows = torch.rand(2, 3, frames, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = miniature.posterior(vae, windows).mean
        torch.testing.assert_close(latents, plain.encode(windows).latent_dist.mean, rtol=1e-4, atol=1e-4)
        decoded = miniature.decoded(vae, latents)
        torch.testing.assert_close(decoded.clamp(-1, 1), plain.decode(latents).sample, rtol=1e-4, atol=1e-4)
    assert latents.shape[2] == 1 + (frames - 1) // 4


def test_a_causal_autoencoder_begins_with_frames_by_themselves(miniature: WanMiniature) -> None:
    vae = miniature.autoencoder().eval()
    still = torch.rand(1, 3, 1, 32, 32)
    with torch.no_grad():
        one = miniature.posterior(vae, still).mean
        many = miniature.posterior(vae, still.expand(-1, -1, 9, -1, -1)).mean
        shown = miniature.decoded(vae, many)
    for at in range(3):
        torch.testing.assert_close(many[:, :, at : at + 1], one, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shown, shown[:, :, :1].expand_as(shown), rtol=1e-4, atol=1e-5)


def test_plain_attention_computes_what_diffusers_own_does(miniature: WanMiniature) -> None:
    model = miniature.denoiser().eval()
    torch.nn.init.normal_(model.proj_out.weight)
    inputs = torch.randn(2, 4, 3, 8, 8), torch.tensor([10.0, 900.0]), torch.randn(2, 5, 16)
    with torch.no_grad():
        expected = model(*inputs).sample
        for block in model.blocks:
            block.attn1.set_processor(PlainAttention())
            block.attn2.set_processor(PlainAttention())
        torch.testing.assert_close(model(*inputs).sample, expected, rtol=1e-4, atol=1e-5)
    assert isinstance(model, WanTransformer3DModel)


def test_prompts_are_encoded_in_a_batch_as_alone(trained: tuple[Path, Path], miniature: WanMiniature) -> None:
    base = load_base(BaseLocation("tiny", str(trained[1])))
    words = miniature.tokenizer(trained[0] / "tokenizer")
    prompts = ["a dog", "a brown dog moving right on the beach", ""]
    ids = words(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    model = miniature.text_encoder_class.from_pretrained(trained[1] / "text_encoder").eval().float()
    with torch.no_grad():
        batch = miniature.read(model, ids)
    torch.testing.assert_close(batch, base.text.encode(prompts).embeddings, rtol=1e-4, atol=1e-4)


def test_words_of_the_world_are_one_token_and_no_letter_is_unknown() -> None:
    words = pieces.build(max_tokens=32)
    assert words.tokenize("a purple rabbit moving right") == ["▁a", "▁purple", "▁rabbit", "▁moving", "▁right"]
    assert words.tokenize("trozuping")[-1] == "ing"
    assert words.unk_token_id not in words("Was it *really* a ~tro_zup? 7%!").input_ids


def test_a_flow_is_learnt_at_shifted_levels_and_names_reach_the_text(miniature: WanMiniature) -> None:
    words = pieces.build(max_tokens=32)
    who = traits.of(individual("dog", 3, "train"))[None].expand(400, -1)
    shown = [pools.Shown("dog", "brown", "grass", "")] * 400
    pool = pools.Latents(torch.randn(400, 1, 4, 8, 8), torch.zeros(400, 1, 1, 8, 8), shown, who)
    settings = replace(TINY.denoiser, image_batch=400)
    objective = objective_for(miniature)
    batch = Batches(settings, pool, None, words, objective).of_images(0)
    # Of levels shifted by 3, three quarters lie above a half.
    assert float((batch.levels.spread > 0.5).float().mean()) == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(batch.levels.timesteps, 1000 * batch.levels.spread)
    model = build(miniature, settings, words).eval()
    with torch.no_grad():  # It predicts zero at first: the loss is that of noise - clean, both about 1.
        loss = denoising_loss(model, batch, objective, miniature.weigh)
    assert float(loss) == pytest.approx(2.0, abs=0.1)
    denoiser: Any = model.denoiser
    torch.nn.init.normal_(denoiser.proj_out.weight)
    noisy, timesteps, ids = batch.noise[:1], batch.levels.timesteps[:1], words(["a dog"], return_tensors="pt").input_ids
    named = Named(who[:1], (ids == words("dog", add_special_tokens=False).input_ids[0]).float(), torch.zeros(1, 16))
    with torch.no_grad():
        assert not torch.allclose(model(noisy, timesteps, ids, named), model(noisy, timesteps, ids))

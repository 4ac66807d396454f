"""Going on from an exported base: every weight arrives in the stage that trains it, and nothing is trained twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file

from engine.bases.location import EMBEDDED, inspect_base
from engine.pretraining import autoencoder, denoiser, emoji, pools, self_supervised, text_image, tokenizer
from engine.pretraining.emoji import Drawings
from engine.pretraining.settings import CPU
from engine.pretraining.stage import run_stage, steps_taken
from engine.pretraining.starting import start_from
from engine.training import LoopConfig, generator_at
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
    captions = [pools.caption_of(spec, settings, generator) for _ in range(200)]
    odd = [c for c in captions if c.endswith(("ing", "ing on the beach")) and "moving" not in c]
    assert 50 < len(odd) < 150
    assert all(c.startswith("a dog ") for c in odd)
    assert len(set(odd)) > 40
    assert "a dog moving left on the beach" in captions
    assert "" in captions


def test_nameless_motions_stay_in_the_frame_and_are_called_by_made_up_words() -> None:
    specs = [drawn.spec for drawn in pools.draw_nameless(50, 0)]
    assert len({spec.points for spec in specs}) == 50
    for spec in specs:
        path = spec.path()
        assert (float(path.x[0]), float(path.y[-1])) == pytest.approx((spec.points[0][0], spec.points[-1][1]))
        places = torch.cat([path.x, path.y])
        assert bool(((places > 0.2) & (places < 0.8)).all())
    generator = torch.Generator().manual_seed(0)
    known = {motion.phrase for motion in motions.ALL.values()}
    said = [pools.caption_of(spec, CPU.denoiser, generator) for spec in specs * 4]
    assert not [caption for caption in said if any(phrase in caption for phrase in known)]
    assert sum("ing" in caption for caption in said) > 80


def strange_drawings() -> Drawings:
    """A white square, a black square, and a second drawing of a dog."""
    textures = torch.ones(3, 4, 48, 48)
    textures[1, :3] = 0
    return Drawings(textures.half(), ("gift", "hot beverage", "dog"))


def test_strangers_are_called_by_their_names_or_made_up_ones_and_never_by_a_known_word() -> None:
    drawn = pools.draw_strangers(60, 0, strange_drawings())
    assert {d.spec.word for d in drawn} == {"gift", "hot beverage"}
    assert all(bool(d.texture[0].any()) == (d.spec.word == "gift") for d in drawn)
    assert sum(bool(d.spec.points) for d in drawn) == 30
    generator = torch.Generator().manual_seed(0)
    said = [pools.caption_of(d.spec, CPU.denoiser, generator) for d in drawn * 4]
    named = sum("gift" in caption or "hot beverage" in caption for caption in said)
    unnamed = sum(caption != "" for caption in said) - named
    assert 0.15 < unnamed / (named + unnamed) < 0.45


def test_pools_hold_what_they_say_and_are_made_again_when_their_size_changes(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work, tmp_path / "work")
    accelerator = Accelerator(cpu=True)
    vae = autoencoder.pretrain(CPU.autoencoder, strange_drawings(), tmp_path / "work", accelerator)

    def make(strangers: int) -> pools.Pool:
        settings = replace(CPU.denoiser, pool_clips=1, nameless_clips=1, stranger_clips=strangers)
        return pools.make_pools(settings, strange_drawings(), vae, tmp_path / "work", accelerator)["strangers"]

    first, same, more = make(2), make(2), make(18)
    assert torch.equal(first.latents, same.latents)
    assert len(more.latents) == len(more.specs) == 18
    torch.testing.assert_close(more.latents[:2], first.latents, rtol=0.02, atol=0.02)
    spec, latents = more.specs[17], more.latents[17]
    with torch.no_grad():
        frames = vae.decode(latents.float() / vae.config.scaling_factor).sample / 2 + 0.5
    square = torch.full((4, 48, 48), 1.0)
    square[:3] = 1.0 if spec.word == "gift" else 0.0
    wanted, masks = clips.render_textures(square[None], [spec])
    inside = masks[0].expand_as(wanted[0]) > 0.9
    assert float((frames - wanted[0])[inside].abs().mean()) < 0.1


def test_a_drawing_of_what_is_held_out_is_kept_from_training(tmp_path: Path) -> None:
    names = ["gift", "tiger", "tiger2", "cow2", "face with cowboy hat"]
    for package in emoji.PACKAGES:
        images = tmp_path / package / "package" / "img" / package / "64"
        images.mkdir(parents=True)
        rows = []
        for i, name in enumerate(names):
            Image.new("RGBA", (64, 64), (255, 0, 0, 255)).save(images / f"{i}.png")
            rows.append({"image": f"{i}.png", "short_name": name, "category": "Objects", f"has_img_{package}": True})
        (tmp_path / package / "package" / "emoji.json").write_text(json.dumps(rows), encoding="utf-8")
    assert emoji.load(tmp_path).names == ("gift", "face with cowboy hat") * 2


def test_the_denoiser_goes_on_from_shipped_weights_on_all_pools(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    done, accelerator = steps_taken(folder, "clips"), Accelerator(cpu=True)
    words = tokenizer.kept(folder / "tokenizer", [], merges=0, max_tokens=0)
    vae = autoencoder.pretrain(CPU.autoencoder, strange_drawings(), folder, accelerator)
    towers = text_image.build(CPU.text_image, words)
    settings = replace(
        CPU.denoiser, pool_clips=4, nameless_clips=4, stranger_clips=4, clip_batch=2, image_batch=2,
        image_step_share=0.5, images=LoopConfig(steps=1, learning_rate=1e-4),
        clips=LoopConfig(steps=done + 4, learning_rate=1e-4),
    )  # fmt: skip
    before = load_file(folder / "clips.safetensors")
    model = denoiser.pretrain(settings, vae, words, towers.text_model, strange_drawings(), folder, accelerator)
    assert steps_taken(folder, "clips") == done + 4
    assert not model.training
    after = model.state_dict()
    changed = [name for name, tensor in before.items() if not torch.equal(tensor.float(), after[name].float())]
    assert any(name.startswith("text_encoder.") for name in changed)
    assert any("temp_conv" in name for name in changed)
    assert all(bool(tensor.isfinite().all()) for tensor in after.values())


def test_batches_drawn_ahead_by_other_processes_are_the_same_in_the_same_order() -> None:
    def draw(step: int) -> denoiser.Batch:
        whole = torch.full((1,), step)
        return denoiser.Batch(whole.float(), whole, whole, torch.rand(1, generator=generator_at(0, step)))

    ahead = denoiser.drawn_ahead(draw, 2)
    for step in (7, 8, 9, 3, 4):  # a stage may begin anywhere
        batch = ahead(step)
        assert int(batch.ids) == step
        assert torch.equal(batch.noise, draw(step).noise)


def test_an_autoencoder_that_learnt_on_leaves_no_latents_of_its_former_self(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(work, folder)
    accelerator = Accelerator(cpu=True)
    vae = autoencoder.pretrain(CPU.autoencoder, strange_drawings(), folder, accelerator)
    few = replace(CPU.denoiser, pool_clips=1, nameless_clips=1, stranger_clips=1)
    made = pools.make_pools(few, strange_drawings(), vae, folder, accelerator)
    assert {path.stem for path in folder.glob("*.safetensors")} >= set(made)
    longer = LoopConfig(steps=steps_taken(folder, "autoencoder") + 1, learning_rate=1e-3)
    autoencoder.pretrain(replace(CPU.autoencoder, loop=longer, batch_size=2), known_drawings(), folder, accelerator)
    assert {path.stem for path in folder.glob("*.safetensors")} & {*made, "decoder"} == set()

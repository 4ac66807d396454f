"""The recipe from nothing to an exported base, small: stages stop, go on, are loaded, and leave nothing stale."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.pretraining import autoencoder, captions, denoiser, pools, tokenizer, traits
from engine.pretraining.__main__ import pretrain
from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.export import export
from engine.pretraining.miniature import miniature_of, objective_for
from engine.pretraining.settings import (
    AutoencoderSettings,
    CaptionSettings,
    ContrastiveSettings,
    DecoderSettings,
    Recipe,
    SelfSupervisedSettings,
    UnetSettings,
    with_steps,
)
from engine.pretraining.stage import OutOfTime, Run, StageInUseError, run_stage, steps_taken, weights_file
from engine.pretraining.starting import start_from
from engine.sampling.levels import Levels
from engine.training import LoopConfig, generator_at
from engine.world import motions, pictures
from engine.world.individuals import individual, split_of
from tests.launching import launched


def _loop(steps: int) -> LoopConfig:
    return LoopConfig(steps=steps, learning_rate=1e-3)


TINY = Recipe(
    autoencoder=AutoencoderSettings(_loop(2), batch_size=2, widths=(8, 8, 16), latent_channels=4),
    denoiser=UnetSettings(
        _loop(2), _loop(3), image_batch=2, clip_batch=1, pool_clips=2, widths=(16, 16), attention_head_dim=8,
        together=_loop(2), together_clips=1, image_step_share=0.5, text_width=32, text_layers=1,
    ),
    decoder=DecoderSettings(_loop(1), batch_size=2),
    image_encoder=ContrastiveSettings(_loop(2), batch_size=4, width=32, image_layers=1, text_layers=1, projection=16),
    judge=ContrastiveSettings(_loop(1), batch_size=4, width=32, image_layers=1, text_layers=1, projection=16),
    self_supervised=SelfSupervisedSettings(_loop(1), batch_size=4, width=32, layers=1),
    photographs=200,
    merges=300,
)  # fmt: skip
"""Every stage, at a size that takes seconds."""

MINIATURE = miniature_of(TINY)
NOBODY = denoiser.Named(torch.zeros(1, traits.COUNT), torch.zeros(1, 1), torch.zeros(1, 1))


def run_in(work: Path, deadline: float | None = None) -> Run:
    return Run(work, Accelerator(cpu=True), deadline)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished work folder and the base that was exported from it."""
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("base")
    pretrain(TINY, run_in(work), out)
    export(TINY, work, out)
    return work, out


def test_the_exported_base_loads_with_cross_attention_at_every_level(trained: tuple[Path, Path]) -> None:
    base = load_base(BaseLocation("tiny", str(trained[1])))
    attending = {name.split(".attn2")[0] for name, _ in base.denoiser.named_modules() if ".attn2" in name}
    for level in ("down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"):
        assert any(name.startswith(level) for name in attending), level


def test_a_base_goes_on_where_its_export_stopped(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, base = trained
    start_from(base, tmp_path, TINY)
    for name in TINY.stages:
        assert steps_taken(tmp_path, name) > 0, name
    with pytest.raises(FileExistsError, match="autoencoder"):
        start_from(base, tmp_path, TINY)
    before = load_file(tmp_path / "clips.safetensors")
    pretrain(with_steps(TINY, {"clips": 5}), run_in(tmp_path), tmp_path / "out")
    assert steps_taken(tmp_path, "clips") == 5
    assert steps_taken(tmp_path, "images") == 2
    after = load_file(tmp_path / "clips.safetensors")
    assert before.keys() == {name for name in after if not name.startswith("names.")}, "names are not exported"
    assert any(not torch.equal(before[name].float(), after[name]) for name in before)


def test_a_base_exported_early_has_no_judges_yet_and_goes_on_with_what_it_has(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    early, base, later = tmp_path / "early", tmp_path / "base", tmp_path / "later"
    early.mkdir()
    shutil.copytree(trained[0] / "tokenizer", early / "tokenizer")
    for name in ("autoencoder.safetensors", "images.safetensors", autoencoder.SCALE):
        shutil.copy(trained[0] / name, early / name)
    export(TINY, early, base)
    assert {path.name for path in base.iterdir() if path.is_dir()} == {
        "scheduler", "text_encoder", "tokenizer", "unet", "vae",
    }  # fmt: skip
    start_from(base, later, TINY)
    assert weights_file(later, "clips") is None
    assert steps_taken(later, "images") == 2


def test_clips_train_temporal_layers_and_what_reads_text_and_leave_how_things_look_alone(
    trained: tuple[Path, Path],
) -> None:
    before, after = (load_file(trained[0] / f"{name}.safetensors") for name in ("images", "clips"))
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    for kind in (".temp_convs.", ".temp_attentions.", ".attn2.", "text_encoder."):
        assert any(kind in name for name in changed), kind
    for kind in (".resnets.", ".attn1.", ".ff."):
        assert not {n for n in changed if kind in n and ".temp_attentions." not in n and "transformer_in" not in n}, (
            kind
        )


def test_the_last_stage_trains_all_on_images_and_clips_and_in_two_processes_the_same(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = (load_file(trained[0] / f"{name}.safetensors") for name in ("clips", "together"))
    assert not {name for name in after if name.endswith(".weight") and torch.equal(after[name], before[name])}
    work = tmp_path / "work"
    shutil.copytree(trained[0], work)
    (work / "together.safetensors").unlink()
    script = tmp_path / "together.py"
    script.write_text(
        "import sys; from pathlib import Path; from tests.engine.test_pretraining import TINY, pretrain, run_in\n"
        "pretrain(TINY, run_in(Path(sys.argv[1])), Path(sys.argv[2]))\n",
        encoding="utf-8",
    )
    done = launched(script, work, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert steps_taken(work, "together") == 2
    for name, weights in load_file(work / "together.safetensors").items():
        assert torch.allclose(weights, after[name], rtol=1e-4, atol=1e-6), name


def test_images_that_go_on_after_clips_keep_what_clips_taught_and_clips_go_on_from_there(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(trained[0], work)
    before = load_file(work / "together.safetensors")
    temporal = [name for name in before if ".temp_" in name or ".transformer_in." in name]

    pretrain(with_steps(TINY, {"images": 4}), run_in(work), tmp_path / "out")
    images, clips = (load_file(work / f"{name}.safetensors") for name in ("images", "clips"))
    assert temporal
    assert all(torch.equal(images[name], before[name]) for name in temporal)
    assert any(not torch.equal(images[name], before[name]) for name in before if ".resnets." in name)
    assert all(torch.equal(clips[name], images[name]) for name in images), "clips have had their steps"
    last = load_file(work / "together.safetensors")
    assert all(torch.equal(last[name], images[name]) for name in images), "and so has the last stage"
    assert (steps_taken(work, "images"), steps_taken(work, "clips")) == (4, 3)

    pretrain(with_steps(TINY, {"images": 4, "clips": 5}), run_in(work), tmp_path / "out")
    after = load_file(work / "clips.safetensors")
    assert steps_taken(work, "clips") == 5
    assert any(not torch.equal(after[name], images[name]) for name in temporal)


def test_a_judge_is_trained_beside_the_others(trained: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / f"photographs-{TINY.photographs}").symlink_to(trained[0] / f"photographs-{TINY.photographs}")
    pretrain(TINY, run_in(tmp_path), tmp_path / "out", ["judge"])
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["judge.safetensors"]


def test_a_run_out_of_time_keeps_what_it_reached_and_goes_on(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    seen: list[int] = []

    def loss_at(step: int, _micro: int) -> torch.Tensor:
        seen.append(step)
        loss: torch.Tensor = model(torch.ones(1, 2)).square().mean()
        return loss

    def run(steps: int, deadline: float | None = None) -> bool:
        loop = _loop(steps)
        return run_stage("toy", model, loss_at, loop, run_in(tmp_path, deadline), ema_decay=0.5, settings=loop)

    with pytest.raises(OutOfTime):
        run(3, deadline=time.monotonic())
    assert steps_taken(tmp_path, "toy") == 1
    assert [run(3), run(5), run(5)] == [True, True, False]
    assert seen == [0, 1, 2, 3, 4]
    assert steps_taken(tmp_path, "toy") == 5
    assert weights_file(tmp_path, "toy") == tmp_path / "toy.safetensors"
    assert not (tmp_path / "toy.snapshot").exists()


def test_a_stage_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)

    def run_of(loss_at: Callable[[int, int], torch.Tensor]) -> bool:
        return run_stage("toy", model, loss_at, _loop(1), run_in(tmp_path), ema_decay=0.5, settings=_loop(1))

    def loss(_step: int, _micro: int) -> torch.Tensor:
        found: torch.Tensor = model(torch.ones(1, 2)).mean()
        return found

    def while_another_runs(step: int, micro: int) -> torch.Tensor:
        with pytest.raises(StageInUseError, match=f"toy is being trained in {tmp_path}"):
            run_of(loss)
        return loss(step, micro)

    assert run_of(while_another_runs)
    assert not run_of(loss)


def test_a_sharper_decoder_keeps_the_latents_and_a_longer_trained_autoencoder_none_of_its_former_self(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    work, base = trained
    start_from(base, tmp_path, TINY)
    photographs = pools.photographs(TINY.photographs, work)
    vae = autoencoder.pretrain(MINIATURE, TINY.autoencoder, photographs, None, run_in(tmp_path))
    assert vae.config.scaling_factor == AutoencoderKL.load_config(base / "vae")["scaling_factor"]
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    longer = replace(TINY.decoder, loop=_loop(3))
    autoencoder.sharpen(MINIATURE, longer, TINY.autoencoder, vae, photographs, None, run_in(tmp_path))
    changed = {name for name, tensor in vae.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)
    pools.clip_latents(1, pictures.FRAMES, autoencoder.encoder_of(MINIATURE, vae), run_in(tmp_path))
    autoencoder.pretrain(MINIATURE, replace(TINY.autoencoder, loop=_loop(4)), photographs, None, run_in(tmp_path))
    assert not {path.name for path in tmp_path.glob("*")} & {"clips.latents.safetensors", "decoder.safetensors"}


def test_photographs_show_pairs_of_training_individuals_and_groups_that_are_alike(trained: tuple[Path, Path]) -> None:
    pool = pools.photographs(TINY.photographs, trained[0])
    first, second = pool.draw_pairs(8, 4, generator_at(0, 0))
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        assert a // 2 == b // 2
        assert a != b
        assert split_of(pools.individual_of(a // 2)) == "train"
    groups = {(pool.shown[i].class_word, pool.shown[i].colour) for i in first.tolist()}
    assert len(groups) < 8
    pixels, masks = pool.frames(first[:1])
    assert pixels.shape == (1, 3, 64, 64)
    assert float(pixels.min()) >= -1
    assert 0.02 < float(masks.mean()) < 0.6
    windows, masks_there = pool.windows(first, 32, generator_at(0, 0))
    assert windows.shape == (8, 3, 32, 32)
    assert float(masks_there.mean()) > 1.5 * float(pool.frames(first)[1].mean())


def test_latents_are_made_again_when_there_are_to_be_more(trained: tuple[Path, Path], tmp_path: Path) -> None:
    vae = MINIATURE.autoencoder().eval()
    vae.register_to_config(scaling_factor=1.0)
    encode, run = autoencoder.encoder_of(MINIATURE, vae), run_in(tmp_path)
    first, same, more = (pools.clip_latents(count, pictures.FRAMES, encode, run) for count in (2, 2, 3))
    assert torch.equal(first.latents, same.latents)
    assert first.shown == same.shown == more.shown[:2]
    assert more.latents.shape == (3, pictures.FRAMES, 4, 16, 16)
    torch.testing.assert_close(more.latents[:2], first.latents, rtol=0.02, atol=0.02)


def test_captions_say_no_more_than_class_colour_motion_and_scene_and_some_motions_by_made_up_words() -> None:
    shown = pools.Shown("dog", "brown", "beach", "left")
    settings, generator = CaptionSettings(odd_motion=0.5), torch.Generator().manual_seed(0)
    said = [captions.for_denoiser(shown, settings, generator) for _ in range(300)]
    assert {"", "a dog", "a brown dog moving left on the beach"} <= set(said)
    odd = {caption for caption in said if "ing" in caption and "moving left" not in caption}
    assert len(odd) > 40
    nameless = replace(shown, motion=None)
    said = [captions.for_denoiser(nameless, settings, generator) for _ in range(100)]
    assert not [caption for caption in said if any(motion.phrase in caption for motion in motions.ALL.values())]
    photographs = {captions.for_denoiser(replace(shown, motion=""), settings, generator) for _ in range(100)}
    assert photographs == {"", "a dog", "a brown dog", "a dog on the beach", "a brown dog on the beach"}


def test_every_word_of_the_world_is_one_token(trained: tuple[Path, Path]) -> None:
    words = tokenizer.kept(trained[0] / "tokenizer", merges=0, max_tokens=0)
    assert words.tokenize("a purple rabbit moving right in the desert") == [
        f"{word}</w>" for word in ["a", "purple", "rabbit", "moving", "right", "in", "the", "desert"]
    ]
    unknown = words.tokenize("zigzagging")
    assert "".join(unknown) == "zigzagging</w>"


def test_batches_drawn_ahead_by_other_processes_are_the_same_in_the_same_order() -> None:
    def draw(step: int) -> denoiser.Batch:
        whole = torch.full((1,), step)
        noise = torch.rand(1, generator=generator_at(0, step))
        levels = Levels(whole, whole, whole)
        return denoiser.Batch(whole.float(), torch.zeros_like(whole).float(), whole, levels, noise, NOBODY)

    ahead = drawn_ahead(draw, 2)
    for step in (7, 8, 9, 3, 4):  # a stage may begin anywhere
        batch = ahead(step)
        assert int(batch.ids) == step
        assert torch.equal(batch.noise, draw(step).noise)


def test_a_stage_that_there_is_not_is_refused() -> None:
    assert with_steps(TINY, {"images": 9}).denoiser.images.steps == 9
    with pytest.raises(ValueError, match="decoders"):
        with_steps(TINY, {"decoders": 9})


def test_class_words_tell_who_is_meant_in_a_share_of_the_captions(trained: tuple[Path, Path]) -> None:
    words = CLIPTokenizer.from_pretrained(trained[0] / "tokenizer")
    who = traits.of(individual("dog", 3, "train"))[None].expand(200, -1)
    pool = pools.Latents(
        torch.zeros(200, 1, 4, 4, 4),
        torch.zeros(200, 1, 1, 4, 4),
        [pools.Shown("dog", "brown", "grass", "")] * 200,
        who,
    )
    settings = replace(TINY.denoiser, image_batch=400, named_share=0.5)
    batch = denoiser.Batches(settings, pool, None, words, objective_for(MINIATURE)).of_images(3)
    is_dog = batch.ids == words("dog", add_special_tokens=False).input_ids[0]
    assert not batch.named.where[~is_dog].any(), "no other word names anyone"
    assert 0.4 < float(batch.named.where[is_dog].mean()) < 0.6
    model = denoiser.build(MINIATURE, settings, words)
    added = model.embedded(batch.named)
    assert torch.equal(added.abs().sum(-1) > 0, batch.named.where.bool())


def test_who_is_named_changes_what_is_predicted_and_words_alone_are_read_as_ever(trained: tuple[Path, Path]) -> None:
    words = CLIPTokenizer.from_pretrained(trained[0] / "tokenizer")
    model = denoiser.build(MINIATURE, TINY.denoiser, words).eval()
    ids = torch.tensor([words("a dog").input_ids] * 2)
    where = ids == words("dog", add_special_tokens=False).input_ids[0]
    two = torch.stack([traits.of(individual("dog", seed, "train")) for seed in (1, 2)])
    named = denoiser.Named(two, where.float(), torch.zeros(2, TINY.denoiser.text_width))
    noisy, timesteps = torch.randn(1, 4, 1, 8, 8).expand(2, -1, -1, -1, -1), torch.tensor([500, 500])
    with torch.no_grad():
        before = model(noisy, timesteps, ids)
        one, other = model(noisy, timesteps, ids, named)
        assert torch.equal(model(noisy, timesteps, ids), before)
    assert not torch.allclose(one, other)
    nobody = replace(named, where=torch.zeros_like(named.where))
    with torch.no_grad():
        assert torch.allclose(model(noisy, timesteps, ids, nobody), before, atol=1e-6)


def test_an_error_in_the_individual_counts_more_than_one_in_the_scene() -> None:
    class Nothing(torch.nn.Module):
        def forward(self, latents: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(latents)

    covered = torch.zeros(1, 1, 1, 2, 2)
    covered[..., 0, 0] = 1

    def loss(noise: torch.Tensor, weight: float) -> float:
        levels = Levels(torch.tensor([500]), torch.tensor([0.8]), torch.tensor([0.6]))
        batch = denoiser.Batch(torch.zeros(1, 3, 1, 2, 2), covered, torch.zeros(1, 4), levels, noise, NOBODY)
        model: Any = Nothing()
        objective, weigh = objective_for(MINIATURE), MINIATURE.weigh
        return float(denoiser.denoising_loss(model, batch, objective, weigh, individual_weight=weight))

    inside, outside = torch.zeros(2, 1, 3, 1, 2, 2)
    inside[..., 0, 0], outside[..., 1, 1] = 1, 1
    assert loss(inside, 1.0) == pytest.approx(loss(outside, 1.0))
    assert loss(inside, 3.0) == pytest.approx(3 * loss(outside, 3.0))
    assert loss(inside + outside, 1.0) == pytest.approx(2 * loss(inside, 1.0))

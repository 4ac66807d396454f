"""The family `wan` against diffusers' own pipeline, and what is its alone."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from torch import Tensor
from transformers import UMT5EncoderModel

from engine.adapters.forms import fresh
from engine.bases import umt5
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.bases.wan_blocks import OpenBlock
from engine.composing import ComposeConfig, compose
from engine.errors import BaseError
from engine.estimating import composing_seconds, estimate
from engine.hash_cache import cache_folder
from engine.learning import learn_subject
from engine.methods.common import Method
from engine.methods.table import method_named, recommended_for
from engine.planning import plan_motion, plan_subject
from engine.prompts import TOKEN
from engine.sampling.guidance import guided
from engine.sampling.levels import Level
from engine.sampling.samplers import sampler_named
from engine.settings import resolve

PROMPTS = ["a dog runs  on &amp; on", ""]
FRAMES, SIZE = 9, (32, 16)


@pytest.fixture(scope="module")
def load(wan_folder: Path) -> Callable[[], Base]:
    return lambda: load_base(BaseLocation("wan", str(wan_folder)), device="cpu")


@pytest.fixture(scope="module")
def pipeline(wan_folder: Path) -> Any:
    pipe = WanPipeline.from_pretrained(wan_folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def start_of(base: Base) -> Tensor:
    return torch.randn(1, *base.layout.shape(FRAMES, SIZE), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_text_is_the_pipelines(load: Callable[[], Base], pipeline: Any) -> None:
    found = load().text.encode(PROMPTS).embeddings
    expected, _ = pipeline.encode_prompt(PROMPTS, do_classifier_free_guidance=False, max_sequence_length=512)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_latents_and_frames_are_the_pipelines(load: Callable[[], Base], pipeline: Any) -> None:
    base, start = load(), start_of(load())
    given = {"height": SIZE[1], "width": SIZE[0], "num_frames": FRAMES, "num_inference_steps": 4, "guidance_scale": 5.0}
    expected = pipeline(PROMPTS[0], latents=start.clone(), output_type="latent", **given).frames
    frames = torch.from_numpy(pipeline(PROMPTS[0], latents=start.clone(), output_type="np", **given).frames)
    text = base.text.encode(["", PROMPTS[0]])

    def denoise(sample: Tensor, level: Level) -> Tensor:
        return base.predict(sample, torch.full((sample.shape[0],), level.timestep), text)

    levels = base.objective.levels(4)
    latents = sampler_named("unipc", eta=0)(guided(denoise, 5.0), start, levels, base.objective)
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    decoded = base.codec.decode(latents)[0].permute(1, 2, 3, 0) / 2 + 0.5
    torch.testing.assert_close(decoded, frames[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_open_block_computes_what_a_block_does(load: Callable[[], Base], wan_folder: Path) -> None:
    base = load()
    plain = WanTransformer3DModel.from_pretrained(wan_folder / "transformer", torch_dtype=torch.float32).eval()
    assert any(isinstance(module, OpenBlock) for module in base.denoiser.modules())
    noisy, timesteps = start_of(base), torch.tensor([713.5])
    embeddings = base.text.encode([PROMPTS[0]]).embeddings
    expected = plain(noisy, timesteps, embeddings, return_dict=False)[0]
    assert torch.equal(base.denoiser(noisy, timesteps, embeddings, return_dict=False)[0], expected)


@pytest.mark.parametrize("shift", [3.0, 5.0])
def test_learning_draws_levels_by_the_bases_shift(wan_folder: Path, tmp_path: Path, shift: float) -> None:
    copied = shutil.copytree(wan_folder, tmp_path / "wan")
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift).save_pretrained(
        copied / "scheduler"
    )
    objective = load_base(BaseLocation("wan", str(copied)), device="cpu").objective
    levels = objective.draw(20_000, 1.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(levels.spread.median(), torch.tensor(shift / (shift + 1)), atol=0.01, rtol=0)
    assert torch.equal(levels.timesteps, levels.spread * 1000)
    clean, noise = torch.randn(2, 20_000, 1)
    assert torch.equal(objective.target(clean, noise, levels), noise - clean)


# --- text ---


def forbid_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umt5.Umt5Text, "_computed", lambda _self, _ids: pytest.fail("the encoder was asked"))


@torch.no_grad()
def test_what_was_encoded_once_needs_no_encoder_again(
    load: Callable[[], Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = load().text
    first = text.encode(["a new * walks"], torch.ones(text.token_width)).embeddings
    forbid_encoder(monkeypatch)
    later = load().text
    assert torch.equal(later.encode(["a new * walks"], torch.ones(text.token_width)).embeddings, first)
    other = later.encode(["a new * walks"], torch.zeros(text.token_width)).embeddings
    changed = (other != first).any(dim=-1)[0]
    assert changed.sum() == 1 and (first[0][changed] == 1).all() and (other[0][changed] == 0).all()


def test_our_word_for_the_token_is_ordinary_words_however_it_is_written(load: Callable[[], Base]) -> None:
    text = load().text
    assert isinstance(text, umt5.Umt5Text)
    prompts = text.prompts
    assert prompts.token_id in prompts.ids("a * runs", vectors=1)
    for written in (TOKEN, TOKEN.upper(), html.escape(TOKEN), html.escape(html.escape(TOKEN))):
        assert prompts.token_id not in prompts.ids(f"a {written} runs", vectors=1)


@torch.no_grad()
def test_a_changed_encoder_and_a_damaged_file_are_not_taken_from_the_cache(wan_folder: Path, tmp_path: Path) -> None:
    def text_of(place: Path) -> umt5.Umt5Text:
        text = load_base(BaseLocation("wan", str(place)), device="cpu").text
        assert isinstance(text, umt5.Umt5Text)
        return text

    copied = shutil.copytree(wan_folder, tmp_path / "wan")
    first = text_of(copied).encode(["a hat"]).embeddings
    for file in cache_folder("prompts").iterdir():
        file.write_bytes(b"damaged")
    assert torch.equal(text_of(copied).encode(["a hat"]).embeddings, first)
    model = UMT5EncoderModel.from_pretrained(copied / "text_encoder")
    model.shared.weight.data.mul_(-2)
    shutil.rmtree(copied / "text_encoder")
    model.save_pretrained(copied / "text_encoder")
    assert not torch.equal(text_of(copied).encode(["a hat"]).embeddings, first)


def test_the_encoder_is_gone_before_the_first_step(
    load: Callable[[], Base], photographs: list[Path], tmp_path: Path
) -> None:
    """Though the token is still to be learnt."""
    base = load()
    plan = plan_subject(
        photographs, "dog", info=base.info,
        options={"size": (16, 16), "batch_size": 2, "token_steps": 2, "adapter_steps": 1},
    )  # fmt: skip
    text = base.text
    assert isinstance(text, umt5.Umt5Text)
    seen: list[object] = []
    learn_subject(plan, base, tmp_path, on_progress=lambda _part, _progress: seen.append(text._model))
    assert seen == [None] * 3
    config = ComposeConfig(steps=1, frames=1, size=(16, 16), guidance_scale=1)
    other = load()
    compose(other, "a cat that nobody saw", seed=0, config=config)
    assert isinstance(other.text, umt5.Umt5Text) and other.text._model is None


# --- what a folder holds ---


def test_settings_are_recommended_where_the_folder_has_none(wan_folder: Path, tmp_path: Path, clip: Path) -> None:
    info = inspect_base(BaseLocation("wan", str(wan_folder)))
    assert info.recommended["compose"]["sampler"] == "unipc"
    config = plan_motion([clip], "a dog", info=info, options={"appearance_guidance": False}).settings.config
    assert (config.frames, config.fps, config.offset_noise) == (33, 16.0, 0.0)
    copied = shutil.copytree(wan_folder, tmp_path / "wan")
    (copied / "recommended.json").write_text(json.dumps({"motion": {"frames": 17}}))
    own = inspect_base(BaseLocation("wan", str(copied)))
    assert own.recommended["motion"] == {"frames": 17}
    assert own.recommended["compose"] == info.recommended["compose"]


def test_the_estimate_counts_the_windows_that_there_are(wan_folder: Path, clip: Path, tmp_path: Path) -> None:
    location = BaseLocation("wan", str(wan_folder))

    def encoding(frames: int, *more: Path) -> float:
        options = {"appearance_guidance": False, "frames": frames, "size": (128, 128), "batch_size": 1}
        plan = plan_motion([clip, *more], "a dog", info=inspect_base(location), options=options)
        return estimate(plan, location, device="cpu", dtype="fp32").encoding_seconds

    # Of 12 frames: 4 windows of 9, 8 of 5.
    assert encoding(9) / encoding(5) == pytest.approx(4 * 9 / (8 * 5), rel=0.1)
    short = shutil.copytree(clip, tmp_path / "short", ignore=lambda _folder, names: sorted(names)[5:])
    # Of 5 frames: one window of them all.
    assert encoding(9, short) / encoding(9) == pytest.approx((4 * 9 + 5) / (4 * 9), rel=0.05)


def test_an_estimate_in_half_precision_passes_on_no_remarks_of_the_library(
    wan_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ComposeConfig(steps=1, frames=5, size=(16, 16))
    assert composing_seconds(config, BaseLocation("half", str(wan_folder)), device="cpu", dtype="bf16") > 0
    assert not caplog.messages


def test_the_estimate_counts_what_is_computed_again(wan_folder: Path, photographs: list[Path]) -> None:
    location = BaseLocation("wan", str(wan_folder))

    def learning(checkpointing: bool) -> float:
        options = {"size": (32, 32), "gradient_checkpointing": checkpointing}
        plan = plan_subject(photographs, "dog", info=inspect_base(location), options=options)
        told = estimate(plan, location, device="cpu", dtype="fp32")
        return told.seconds - told.encoding_seconds

    assert learning(True) / learning(False) == pytest.approx(4 / 3, rel=0.02)


def test_the_estimate_counts_the_writing_of_what_was_learnt(
    wan_folder: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    location = BaseLocation("wan", str(wan_folder))
    monkeypatch.setattr("engine.estimating.process_bytes", lambda: 0)
    options = {"size": (32, 32), "hidden_width": 20_000, "batch_size": 1}
    plan = plan_subject(photographs, "dog", info=inspect_base(location), options=options)
    told = estimate(plan, location, device="cpu", dtype="fp32")
    # Weights and AdamW's two averages, and two copies of the weights.
    assert told.peak_bytes > (3 + 2) * 4 * sum(told.parameters.values())


def test_adapters_are_64_wide_unless_asked_otherwise(wan_folder: Path, photographs: list[Path]) -> None:
    info = inspect_base(BaseLocation("wan", str(wan_folder)))

    def width(**options: object) -> tuple[object, float]:
        weights: Any = plan_subject(photographs, "dog", info=info, options=options).settings.config
        return weights.hidden_width, weights.hidden_ratio

    assert width()[0] == 64
    assert width(hidden_width=8)[0] == 8
    assert width(hidden_ratio=0.25) == (None, 0.25)


@pytest.mark.parametrize(
    ("part", "changes", "named"),
    [
        ("model_index.json", {"boundary_ratio": 0.875}, "two experts"),
        ("model_index.json", {"expand_timesteps": True}, "for every place"),
        ("transformer/config.json", {"image_dim": 1280}, "videos of images"),
        ("transformer/config.json", {"in_channels": 9}, "videos of images"),
        ("vae/config.json", {"temperal_downsample": [False, False, True]}, "one frame of latents of 4"),
    ],
)
def test_wans_other_models_are_refused(
    wan_folder: Path, tmp_path: Path, part: str, changes: dict[str, object], named: str
) -> None:
    copied = shutil.copytree(wan_folder, tmp_path / "wan")
    content = json.loads((copied / part).read_text())
    (copied / part).write_text(json.dumps(content | changes))
    with pytest.raises(BaseError, match=named):
        inspect_base(BaseLocation("wan", str(copied)))


def test_half_precision_is_for_the_denoiser_and_the_text_alone(wan_folder: Path) -> None:
    base = load_base(BaseLocation("wan", str(wan_folder)), device="cpu", dtype="bf16")
    window = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    exact = load_base(BaseLocation("wan", str(wan_folder)), device="cpu").codec.encode(window)[0]
    assert torch.equal(base.codec.encode(window)[0], exact)
    assert base.denoiser.get_parameter("blocks.0.attn1.to_q.weight").dtype == torch.bfloat16


# --- low-rank updates ---


def updates_of(load: Callable[[], Base], method: Method, info: BaseInfo) -> set[str]:
    """The matrices that a method updates in the base, as it recommends."""
    config = resolve(method.settings(), recommended_for(method, info.recommended), {}).config
    trained = method.recipe(config).weights
    assert trained is not None
    base = load()
    return set(fresh(trained, base.sites, base.labels, base.denoiser, condition_width=None, seed=0).widths)


def test_low_rank_updates_of_a_subject_and_a_motion_share_no_matrix(load: Callable[[], Base]) -> None:
    info = load().info
    subject, motion = (updates_of(load, method_named(kind, "lora"), info) for kind in ("subject", "motion"))
    block = {name.removeprefix("blocks.0.") for name in motion | subject if name.startswith("blocks.0.")}
    assert not subject & motion
    assert {name.removeprefix("blocks.0.") for name in motion} & block == {"attn1.to_q", "attn1.to_k"}
    assert block - {"attn1.to_q", "attn1.to_k"} == {
        "attn1.to_v", "attn2.to_k", "attn2.to_v", "ffn.net.0.proj", "ffn.net.2",
    }  # fmt: skip
    assert updates_of(load, method_named("motion", "lora-query-key"), info) == motion

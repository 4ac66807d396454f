"""Stable Diffusion with a motion module: the library's pipeline, the image model alone, parts that don't fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from engine.adapters.bottleneck import AdapterSet
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.composing import ComposeConfig, compose
from engine.errors import BaseError, InputError
from engine.planning import plan_motion
from engine.sampling.guidance import guided
from engine.sampling.levels import Level
from engine.sampling.samplers import ddim
from tests.engine.bases.conftest import MakeBase
from tests.engine.bases.tiny_animatediff import POSITIONS, write_motion_module
from tests.rendering import MATERIAL

FRAMES, SIZE = 6, (16, 24)
"""Frames, and width and height in pixels."""


@pytest.fixture(scope="module")
def motion_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion_module")
    write_motion_module(folder)
    return folder


@pytest.fixture(scope="module")
def base(image_model: Path, motion_module: Path) -> Base:
    return load_base(at(image_model, motion_module), device="cpu")


def at(image_model: Path, motion_module: Path | None) -> BaseLocation:
    return BaseLocation("ad", str(image_model), motion_module=None if motion_module is None else str(motion_module))


def noise(frames: int = FRAMES) -> Tensor:
    return torch.randn((1, 4, frames, SIZE[1] // 2, SIZE[0] // 2), generator=torch.Generator().manual_seed(0))


# --- equality ---


@pytest.fixture(scope="module")
def pipeline(image_model: Path, motion_module: Path) -> Any:
    """diffusers' own, with the schedule that its page on AnimateDiff says."""
    made = AnimateDiffPipeline(
        vae=AutoencoderKL.from_pretrained(image_model / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(image_model / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(image_model / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(image_model / "unet"),
        motion_adapter=MotionAdapter.from_pretrained(motion_module),
        scheduler=DDIMScheduler.from_pretrained(
            image_model / "scheduler", beta_schedule="linear", clip_sample=False
        ),
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


@torch.no_grad()
def test_a_video_is_the_librarys_pipelines_on_equal_noise(base: Base, pipeline: Any) -> None:
    scale, steps = 7.5, 4
    asked: dict[str, Any] = {
        "num_frames": FRAMES, "width": SIZE[0], "height": SIZE[1], "num_inference_steps": steps,
        "guidance_scale": scale, "latents": noise(),
    }  # fmt: skip
    text = base.text.encode(["", "a dog runs"])

    def denoise(sample: Tensor, level: Level) -> Tensor:
        return base.predict(sample, torch.full((len(sample),), level.timestep), text)

    latents = ddim(guided(denoise, scale), noise(), base.objective.levels(steps), base.objective)
    expected = pipeline("a dog runs", output_type="latent", **asked).frames
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    frames = pipeline("a dog runs", output_type="pt", **asked).frames
    pixels = base.codec.decode(latents).clamp(-1, 1)
    torch.testing.assert_close((pixels + 1).transpose(1, 2) / 2, frames, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_frame_alone_is_the_image_models(base: Base, image_model: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(image_model / "unet")
    text, timestep = base.text.encode(["a dog"]), torch.tensor([321])
    expected = unet(noise(1)[:, :, 0], timestep, text.embeddings).sample
    torch.testing.assert_close(base.predict(noise(1), timestep, text)[:, :, 0], expected, atol=1e-5, rtol=1e-4)
    together = base.predict(noise(), timestep, text)
    assert not torch.allclose(together[:, :, :1], base.predict(noise()[:, :, :1], timestep, text), atol=1e-3)


def test_a_frame_alone_is_checkpointed_as_it_is(base: Base) -> None:
    """Leaving the motion module out and recomputing it don't get in each other's way."""
    adapters = AdapterSet.create([s for s in base.sites if s.role == "identity"], 0.5, condition_width=None, seed=0)
    with torch.no_grad():
        for parameter in adapters.parameters().values():
            parameter.add_(0.1)
    text, timestep, found = base.text.encode(["a dog"]), torch.tensor([321]), []
    for frames in (1, FRAMES, 1):
        with adapters.attached(base):
            plain = base.predict(noise(frames), timestep, text)
            with base.family.checkpointed(base.denoiser):
                recomputed = base.predict(noise(frames), timestep, text)
                recomputed.square().mean().backward()
        assert torch.equal(plain, recomputed)
        found.append(recomputed)
    assert torch.equal(found[0], found[2])


def test_the_denoiser_is_the_librarys(base: Base, image_model: Path, motion_module: Path) -> None:
    expected = UNetMotionModel.from_unet2d(
        UNet2DConditionModel.from_pretrained(image_model / "unet"), MotionAdapter.from_pretrained(motion_module)
    )
    state, theirs = base.denoiser.state_dict(), expected.state_dict()
    assert state.keys() == theirs.keys()
    assert all(torch.equal(state[name], theirs[name]) for name in theirs)


# --- parts ---


def test_the_motion_module_may_lie_inside_the_model(image_model: Path, motion_module: Path, tmp_path: Path) -> None:
    shutil.copytree(image_model, tmp_path / "whole")
    shutil.copytree(motion_module, tmp_path / "whole" / "motion_module")
    apart, inside = inspect_base(at(image_model, motion_module)), inspect_base(at(tmp_path / "whole", None))
    assert apart.components == inside.components
    assert apart.layout == inside.layout


def test_an_image_model_without_a_motion_module_is_a_base_of_another_family(
    image_model: Path, motion_module: Path
) -> None:
    assert inspect_base(at(image_model, motion_module)).family == "animatediff"
    assert inspect_base(at(image_model, None)).family == "stable_diffusion"


def test_a_base_of_another_family_has_no_use_for_one(make_base: MakeBase, motion_module: Path) -> None:
    with pytest.raises(BaseError, match="no use for a motion module"):
        inspect_base(at(make_base(), motion_module))


def test_a_motion_module_for_another_image_model_is_refused(image_model: Path, tmp_path: Path) -> None:
    write_motion_module(tmp_path / "other", widths=(16, 32, 32))
    with pytest.raises(BaseError, match=r"for an image model of widths \[16, 32, 32\], and this one has \[16, 32\]"):
        inspect_base(at(image_model, tmp_path / "other"))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("motion_module", {"_class_name": "UNet2DConditionModel"}, "must be a MotionAdapter"),
        ("motion_module", {"conv_in_channels": 9}, "a picture beside the text"),
        ("unet", {"in_channels": 9}, "a picture beside the text"),
        ("unet", {"addition_embed_type": "text_time"}, "as SDXL does"),
    ],
)
def test_models_that_take_more_are_refused(
    image_model: Path, motion_module: Path, tmp_path: Path, part: str, change: dict[str, object], message: str
) -> None:
    shutil.copytree(image_model, tmp_path / "model")
    shutil.copytree(motion_module, tmp_path / "model" / "motion_module")
    file = tmp_path / "model" / part / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(BaseError, match=message):
        inspect_base(at(tmp_path / "model", None))


def test_more_frames_than_positions_are_refused_before_anything_is_loaded(base: Base, tmp_path: Path) -> None:
    told = f"`frames` is {POSITIONS + 1}: the base takes {POSITIONS} frames at most"
    with pytest.raises(InputError, match=told):
        compose(base, "a dog", seed=0, config=ComposeConfig(steps=1, frames=POSITIONS + 1, size=(16, 16)))
    made = compose(base, "a dog", seed=0, config=ComposeConfig(steps=1, frames=POSITIONS, size=(16, 16)))
    assert len(made.frames) == POSITIONS
    shutil.copytree(MATERIAL / "zigzag", tmp_path / "clips")
    with pytest.raises(InputError, match=told):
        plan_motion([tmp_path / "clips"], "a dog", info=base.info, options={"frames": POSITIONS + 1})


def test_large_frames_are_encoded_a_few_at_a_time(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.bases import codecs

    windows = torch.rand(1, 3, 5, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, _ = base.codec.encode(windows)
    assert codecs.pictures_at_once((256, 256)) == codecs.pictures_at_once((64, 64)) == 8
    assert (codecs.pictures_at_once((512, 512)), codecs.pictures_at_once((4096, 4096))) == (2, 1)
    monkeypatch.setattr(codecs, "_MOST_PIXELS", 1)
    one_by_one, _ = base.codec.encode(windows)
    torch.testing.assert_close(whole, one_by_one, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(base.codec.decode(whole), base.codec.decode(one_by_one), atol=1e-4, rtol=1e-4)

"""Stable Diffusion inflated over time: the image model's own frames, what attention looks at, models that aren't it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from engine.adapters.choosing import INFLATED_QUERIES
from engine.adapters.weight_deltas import WeightDeltas
from engine.bases.base import Base
from engine.bases.families import family_named
from engine.bases.load import load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.errors import BaseError
from engine.sampling.inversion import inverted
from engine.sampling.levels import Level
from engine.sampling.samplers import ddim

FRAMES = 4


@pytest.fixture(scope="module")
def base(image_model: Path) -> Base:
    return load_base(BaseLocation("sd", str(image_model)), device="cpu")


def latents(frames: int = FRAMES, samples: int = 2) -> Tensor:
    return torch.randn((samples, 4, frames, 6, 8), generator=torch.Generator().manual_seed(0))


def learnt(base: Base) -> WeightDeltas:
    """Tune-A-Video's weights as after learning."""
    weights = WeightDeltas.create(INFLATED_QUERIES.names(base.labels), base.denoiser)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for delta in weights.parameters().values():
            delta.add_(torch.randn(delta.shape, generator=generator) * 0.1)
    return weights


@torch.no_grad()
def test_a_frame_alone_is_the_image_models_where_nothing_is_learnt(base: Base, image_model: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(image_model / "unet")
    text, timesteps = base.text.encode(["a dog", "a cat"]), torch.tensor([20, 620])
    expected = unet(latents(1)[:, :, 0], timesteps, text.embeddings).sample
    torch.testing.assert_close(base.predict(latents(1), timesteps, text)[:, :, 0], expected, atol=1e-5, rtol=1e-4)
    # The first of many looks at itself alone.
    first = base.predict(latents(), timesteps, text)[:, :, 0]
    expected = unet(latents()[:, :, 0], timesteps, text.embeddings).sample
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_self_attention_is_the_formula_over_the_first_and_the_previous_frame(base: Base) -> None:
    """Tune-A-Video, equation 4: Q of a frame; K and V of the first frame beside the previous one."""
    block = base.denoiser.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0")
    attention = block.get_submodule("attn1")
    state = torch.randn((2 * FRAMES, 12, 16), generator=torch.Generator().manual_seed(0))
    text = torch.randn((2 * FRAMES, 5, 32), generator=torch.Generator().manual_seed(1))
    found: list[Tensor] = []
    handle = attention.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    block(state, encoder_hidden_states=text, cross_attention_kwargs={"frames": FRAMES})
    handle.remove()

    normed = block.get_submodule("norm1")(state).reshape(2, FRAMES, 12, 16)
    to_q, to_k, to_v, to_out = (attention.get_submodule(name) for name in ("to_q", "to_k", "to_v", "to_out.0"))
    heads, width = 2, 8
    for sample in range(2):
        for frame in range(FRAMES):
            video = normed[sample]
            seen = torch.cat([video[0], video[max(frame - 1, 0)]])
            query, key, value = to_q(video[frame]), to_k(seen), to_v(seen)
            attended = []
            for head in range(heads):
                own = slice(head * width, (head + 1) * width)
                weights = (query[:, own] @ key[:, own].T / width**0.5).softmax(dim=-1)
                attended.append(weights @ value[:, own])
            expected = to_out(torch.cat(attended, dim=-1))
            torch.testing.assert_close(found[0][sample * FRAMES + frame], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_attention_over_frames_sees_every_frame_once_it_is_learnt(base: Base) -> None:
    text, timesteps = base.text.encode(["a dog"]), torch.tensor([321])
    changed = latents(samples=1)
    changed[:, :, -1] += 1

    def first_frame_moves() -> bool:
        before, after = (base.predict(noisy, timesteps, text)[:, :, 0] for noisy in (latents(samples=1), changed))
        return not torch.allclose(before, after, atol=1e-5)

    assert not first_frame_moves()
    with learnt(base).attached(base):
        assert first_frame_moves()
    assert not first_frame_moves()


@torch.no_grad()
def test_the_new_attention_is_the_same_whenever_it_is_loaded(base: Base, image_model: Path) -> None:
    """An adapter holds what is to be added to it."""
    torch.manual_seed(5)
    again = load_base(BaseLocation("sd", str(image_model)), device="cpu").denoiser.state_dict()
    state = base.denoiser.state_dict()
    new = [name for name in state if "attn_temp" in name]
    assert new and all(torch.equal(state[name], again[name]) for name in new)
    assert all(state[name].any() == (".to_out." not in name) for name in new)


@torch.no_grad()
def test_inverting_and_sampling_return_the_latents(base: Base) -> None:
    clean, text, levels = latents(samples=1), base.text.encode([""]), base.objective.levels(50)

    def denoise(sample: Tensor, level: Level) -> Tensor:
        return base.predict(sample, torch.full((len(sample),), level.timestep), text)

    with learnt(base).attached(base):
        noise = inverted(denoise, clean, levels, base.objective)
        returned = ddim(denoise, noise, levels, base.objective)
    assert (noise - clean).norm() > 0.5 * clean.norm()
    assert (returned - clean).norm() / clean.norm() < 1e-2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 9}, "a picture beside the text"),
        ({"addition_embed_type": "text_time"}, "as SDXL does"),
        ({"only_cross_attention": True}, "aren't Stable Diffusion's"),
    ],
)
def test_other_image_models_are_refused(
    image_model: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    shutil.copytree(image_model, tmp_path / "model")
    file = tmp_path / "model" / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(BaseError, match=message):
        info = inspect_base(BaseLocation("sd", str(tmp_path / "model")))
        family_named(info.family).skeleton(info)

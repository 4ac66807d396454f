"""First Block Cache on Wan's open blocks: what is skipped, with adapters beside the layers, and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel
from diffusers.hooks import FirstBlockCacheConfig
from torch import Tensor, nn

from engine.adapters.applied import AppliedAdapter
from engine.adapters.storage import write_adapter
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.composing import ComposeConfig, Composition, Shot, compose, compose_batch
from engine.sampling.guidance import guided
from engine.sampling.levels import Level
from engine.sampling.samplers import sampler_named
from engine.training import generator_at
from tests.engine.sample_adapters import motion_of, random, subject_of

CONFIG = ComposeConfig(steps=6, frames=5, size=(32, 16), guidance_scale=3.0, sampler="unipc", offset_noise=0.0)
NEVER, ALWAYS = 1e-7, 1.0


@pytest.fixture(scope="module")
def base(wan_folder: Path) -> Base:
    return load_base(BaseLocation("wan", str(wan_folder)), device="cpu")


@pytest.fixture(scope="module")
def adapters(base: Base, tmp_path_factory: pytest.TempPathFactory) -> list[AppliedAdapter]:
    """A subject and a motion of random weights."""
    place = tmp_path_factory.mktemp("adapters")
    write_adapter(replace(subject_of(base), token=random(3, base.text.token_width)), place / "subject")
    write_adapter(motion_of(base), place / "motion")
    return [AppliedAdapter(place / "subject", "subject"), AppliedAdapter(place / "motion", "motion")]


@contextmanager
def counted(module: nn.Module) -> Iterator[list[int]]:
    """How often the module runs inside the context."""
    runs: list[int] = []
    handle = module.register_forward_hook(lambda *_: runs.append(1))
    try:
        yield runs
    finally:
        handle.remove()


def frames_of(base: Base, cache: float, adapters: Sequence[AppliedAdapter] = (), **change: Any) -> Composition:
    return compose(base, "a *" if adapters else "a dog", seed=1, config=replace(CONFIG, cache=cache, **change),
                   adapters=adapters)  # fmt: skip


def test_blocks_that_are_never_skipped_give_the_video_without_a_cache(
    base: Base, adapters: list[AppliedAdapter]
) -> None:
    for used in ([], adapters):
        plain, cached = frames_of(base, 0.0, used), frames_of(base, NEVER, used)
        assert np.array_equal(plain.frames, cached.frames)
        assert (plain.record["settings"]["cache"], cached.record["settings"]["cache"]) == (0.0, NEVER)


def test_late_blocks_and_the_adapters_in_them_run_in_the_first_step_alone(
    base: Base, adapters: list[AppliedAdapter]
) -> None:
    first, last = base.denoiser.get_submodule("blocks.0.attn1"), base.denoiser.get_submodule("blocks.1.attn1")
    with counted(first) as early, counted(last) as late:
        cached = frames_of(base, ALWAYS, adapters)
    assert (len(early), len(late)) == (CONFIG.steps, 1)
    assert not np.array_equal(cached.frames, frames_of(base, 0.0, adapters).frames)


@torch.no_grad()
@pytest.mark.parametrize("threshold", [NEVER, ALWAYS])
def test_each_of_guidances_passes_reuses_its_own(base: Base, wan_folder: Path, threshold: float) -> None:
    """As in diffusers' pipelines, which predict the two apart, in contexts of their own."""
    plain = WanTransformer3DModel.from_pretrained(wan_folder / "transformer", torch_dtype=torch.float32).eval()
    plain.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    text = base.text.encode(["", "a dog"]).embeddings

    def denoise(sample: Tensor, level: Level) -> Tensor:
        predictions = []
        for row, name in enumerate(("uncond", "cond")):
            with plain.cache_context(name):
                time = torch.tensor([level.timestep])
                predictions.append(plain(sample[row : row + 1], time, text[row : row + 1], return_dict=False)[0])
        return torch.cat(predictions)

    start = torch.randn(1, *base.layout.shape(CONFIG.frames, CONFIG.size), generator=generator_at(1, 0, "sampling"))
    levels = base.objective.levels(CONFIG.steps)
    latents = sampler_named("unipc", eta=0)(guided(denoise, CONFIG.guidance_scale), start, levels, base.objective)
    expected = ((base.codec.decode(latents)[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 3, 0)
    found = frames_of(base, threshold).frames.astype(float)
    np.testing.assert_allclose(found, expected.numpy(), atol=1)


def test_nothing_of_a_video_is_left_for_the_next(base: Base, adapters: list[AppliedAdapter]) -> None:
    shots = [Shot("a *", 2), Shot("a * runs", 1)]
    config = replace(CONFIG, cache=ALWAYS)
    for shot, together in zip(shots, compose_batch(base, shots, config=config, adapters=adapters), strict=True):
        alone = compose(base, shot.prompt, seed=shot.seed, config=config, adapters=adapters)
        assert np.array_equal(together.frames, alone.frames)


def test_all_blocks_run_again_when_an_adapters_strength_changes(base: Base, adapters: list[AppliedAdapter]) -> None:
    with counted(base.denoiser.get_submodule("blocks.1")) as late:
        frames_of(base, ALWAYS, adapters, subject_delay=0.5)
    with counted(base.denoiser.get_submodule("blocks.1.attn1")) as inside:
        frames_of(base, ALWAYS, adapters, subject_delay=0.5)
    assert (len(late), len(inside)) == (CONFIG.steps, 2)

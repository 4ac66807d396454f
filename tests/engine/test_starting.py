"""Videos that start from a motion's clips, whole or a share of them: which part, what the record says, and when not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.adapters.storage import AdapterFiles, write_adapter
from engine.bases.base import Base
from engine.composing import AppliedAdapter, ComposeConfig, compose, compose_batch
from engine.composing import Shot as Asked
from engine.data.files import sha256_of
from engine.errors import AdapterError, InputError
from engine.estimating import composing_seconds
from engine.evaluation.expected import ReferenceClip
from engine.sampling.noise import offset_noise
from engine.sampling.samplers import sampler_named
from engine.starting import fitted, start_of_clips
from engine.training import generator_at

CONFIG = ComposeConfig(steps=2, frames=4, size=(16, 16), guidance_scale=1.0)


@pytest.fixture
def base(load: Callable[..., Base]) -> Base:
    return load()


@pytest.fixture
def motion(base: Base, tmp_path: Path) -> AppliedAdapter:
    """A motion that changes nothing of the base, and starts from two clips."""
    name = next(name for name, label in base.labels.items() if label.axis == "temporal")
    weights = {name: torch.zeros_like(base.denoiser.get_parameter(name))}
    clips = tuple(torch.randn(base.layout.shape(frames, (16, 16))) for frames in (3, 4))
    files = AdapterFiles("motion", "tune-a-video", base.fingerprint, weights, form="weight-deltas", clips=clips)
    write_adapter(files, tmp_path / "motion")
    return AppliedAdapter(tmp_path / "motion", "motion")


def test_a_clip_has_as_many_frames_as_are_asked_for() -> None:
    clip = torch.arange(4.0).reshape(1, 4, 1, 1)
    for frames, expected in ((2, [0, 1]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3, 2, 1, 0, 1, 2])):
        assert fitted(clip, frames).flatten().tolist() == expected
    assert fitted(clip[:, :1], 3).flatten().tolist() == [0, 0, 0]


def test_the_seed_chooses_a_clip_and_the_record_tells_it(base: Base, motion: AppliedAdapter) -> None:
    shots = [Asked("a dog runs", seed) for seed in range(6)]
    made = compose_batch(base, shots, config=CONFIG, adapters=[motion])
    chosen = [one.record["start"] for one in made]
    assert {one["index"] for one in chosen} == {0, 1} and {one["from"] for one in chosen} == {"motion"}
    for one, start in zip(made, chosen, strict=True):
        first = made[[other["index"] for other in chosen].index(start["index"])]
        assert np.array_equal(one.frames, first.frames)
    assert not np.array_equal(made[0].frames, next(m for m in made if m.record["start"] != chosen[0]).frames)
    alone = compose(base, "a dog runs", seed=5, config=CONFIG, adapters=[motion])
    assert np.abs(alone.frames.astype(int) - made[5].frames.astype(int)).max() <= 1


def test_a_motion_that_is_left_out_starts_from_noise(base: Base, motion: AppliedAdapter) -> None:
    bare = compose(base, "a dog runs", seed=0, config=CONFIG)
    assert "start" not in bare.record
    left_out = compose(base, "a dog runs", seed=0, config=replace(CONFIG, motion_strength=0.0), adapters=[motion])
    assert np.array_equal(left_out.frames, bare.frames) and "start" not in left_out.record
    acting = compose(base, "a dog runs", seed=0, config=CONFIG, adapters=[motion])
    assert not np.array_equal(acting.frames, bare.frames)


def test_another_size_than_the_clips_is_refused(base: Base, motion: AppliedAdapter, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"learnt with at 16x16, and `size` is 32x16: set `size` to 16x16"):
        compose(base, "a dog runs", seed=0, config=replace(CONFIG, size=(32, 16)), adapters=[motion])
    compose(base, "a dog runs", seed=0, config=replace(CONFIG, frames=7), adapters=[motion])
    other = AdapterFiles("motion", "m", base.fingerprint, {}, form="weight-deltas", clips=(torch.ones(7, 1, 8, 8),))
    write_adapter(other, tmp_path / "other")
    with pytest.raises(AdapterError, match="latents of 7 channels, the base's 4"):
        compose(base, "a dog runs", seed=0, config=CONFIG, adapters=[AppliedAdapter(tmp_path / "other", "motion")])


def test_the_steps_of_the_inversion_are_told_before_those_of_sampling(base: Base, motion: AppliedAdapter) -> None:
    def told(*adapters: AppliedAdapter) -> list[tuple[int, int]]:
        steps: list[tuple[int, int]] = []
        compose(
            base, "a dog runs", seed=0, config=CONFIG, adapters=adapters,
            on_step=lambda step, total: steps.append((step, total)),
        )  # fmt: skip
        return steps

    assert told(motion) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told() == [(1, 2), (2, 2)]


# --- a share of a clip ---


@pytest.fixture
def from_clips(base: Base, clips: Path, tmp_path: Path) -> AppliedAdapter:
    """A motion that changes nothing of the base, and that was learnt from two clips of 9 and of 3 frames."""
    name = next(name for name, label in base.labels.items() if label.axis == "temporal")
    weights = {name: torch.zeros_like(base.denoiser.get_parameter(name))}
    write_adapter(AdapterFiles("motion", "m", base.fingerprint, weights, form="weight-deltas"), tmp_path / "share")
    known = (ReferenceClip(clips / "long.mp4"), ReferenceClip(clips / "short", source_fps=8.0))
    return AppliedAdapter(tmp_path / "share", "motion", clips=known)


def test_noise_is_a_share_of_the_inverted_clip_and_the_rest_fresh(
    base: Base, from_clips: AppliedAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sqrt(s) * inverted + sqrt(1 - s) * fresh."""
    noises: list[torch.Tensor] = []
    sampler = sampler_named("ddim", eta=0.0)

    def noted(*_: object, **__: object) -> Any:
        def sample(denoise: Any, noise: torch.Tensor, *arguments: Any, **more: Any) -> torch.Tensor:
            noises.append(noise)
            return sampler(denoise, noise, *arguments, **more)

        return sample

    monkeypatch.setattr("engine.composing.sampler_named", noted)
    for share in (0.0, 1.0, 0.3):
        compose(base, "a dog runs", seed=3, config=replace(CONFIG, motion_init=share), adapters=[from_clips])
    fresh, inverted, both = noises
    shape = (1, *base.layout.shape(CONFIG.frames, CONFIG.size))
    assert torch.equal(fresh, offset_noise(shape, CONFIG.offset_noise, generator_at(3, 0, "sampling")))
    torch.testing.assert_close(both, 0.3**0.5 * inverted + 0.7**0.5 * fresh)
    assert not torch.allclose(inverted, fresh)


def test_the_record_says_which_clip_and_how_much_of_it(base: Base, from_clips: AppliedAdapter) -> None:
    shots = [Asked("a dog runs", seed) for seed in range(4)]
    made = compose_batch(base, shots, config=replace(CONFIG, motion_init=0.3), adapters=[from_clips])
    for one in made:
        start = one.record["start"]
        digest = sha256_of(from_clips.clips[start["index"]].path)
        assert start == {"from": "motion", "index": start["index"], "share": 0.3, "sha256": digest}
        assert one.record["settings"]["motion_init"] == 0.3
    assert {one.record["start"]["index"] for one in made} == {0, 1}
    without = compose(base, "a dog runs", seed=0, config=CONFIG, adapters=[from_clips])
    assert "start" not in without.record


def test_a_clip_is_read_at_the_rate_frames_and_size_of_the_video(base: Base, from_clips: AppliedAdapter) -> None:
    config = replace(CONFIG, motion_init=0.5)
    start = start_of_clips(base, from_clips.clips, [0, 0], config)
    assert start.clips.shape == (2, *base.layout.shape(4, (16, 16))) and torch.equal(start.clips[0], start.clips[1])
    slower = start_of_clips(base, from_clips.clips, [0], replace(config, fps=4.0)).clips[0]
    torch.testing.assert_close(slower[:, 1], start.clips[0][:, 2])
    wider = start_of_clips(base, from_clips.clips, [0], replace(config, size=(32, 16), frames=20)).clips[0]
    assert wider.shape == base.layout.shape(20, (32, 16))
    torch.testing.assert_close(wider[:, 15], wider[:, 1])  # nine frames forth and back
    short = start_of_clips(base, from_clips.clips, [1], config).clips[0]
    torch.testing.assert_close(short[:, 3], short[:, 1])


def test_a_share_is_refused_where_there_is_nothing_to_take_it_of(
    base: Base, motion: AppliedAdapter, from_clips: AppliedAdapter
) -> None:
    config = replace(CONFIG, motion_init=0.3)
    with pytest.raises(InputError, match="`motion_init` is 0\\.3, and the motion starts from its clips anyway"):
        compose(base, "a dog runs", seed=0, config=config, adapters=[motion])
    with pytest.raises(InputError, match="`motion_init` is 0\\.3, and no clip is known"):
        compose(base, "a dog runs", seed=0, config=config, adapters=[replace(from_clips, clips=())])


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_between_none_and_all(share: float) -> None:
    with pytest.raises(InputError, match=f"`motion_init` .* {share:g}"):
        ComposeConfig(motion_init=share)


def test_the_steps_of_a_shares_inversion_are_told_and_estimated(base: Base, from_clips: AppliedAdapter) -> None:
    steps: list[tuple[int, int]] = []
    config = replace(CONFIG, motion_init=0.3)
    compose(
        base, "a dog runs", seed=0, config=config, adapters=[from_clips],
        on_step=lambda step, total: steps.append((step, total)),
    )  # fmt: skip
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with_share, without = (
        composing_seconds(each, base.info.location, device="cpu", dtype="fp32") for each in (config, CONFIG)
    )
    assert with_share == pytest.approx(5 * without)

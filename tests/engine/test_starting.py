"""A motion that starts from its clips: which part of them, what the record says, and when it starts from noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.adapters.storage import AdapterFiles, write_adapter
from engine.bases.base import Base
from engine.composing import AppliedAdapter, ComposeConfig, compose, compose_batch
from engine.composing import Shot as Asked
from engine.errors import AdapterError, InputError
from engine.starting import fitted

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

"""Composing on a base in miniature: what is put together, what is refused, what the record says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.adapters.storage import read_adapter, write_adapter
from engine.bases.base import Base
from engine.composing import Composition, Shot, compose_batch
from engine.errors import AdapterError, InputError, JobError
from tests.engine.sample_adapters import CONFIG, applied, made, motion_of, random, same, subject_of
from tests.engine.unet3d_parts import vae_of

LoadBase = Callable[..., Base]


# --- what is put together ---


def test_all_four_combinations_are_videos_of_their_own(base: Base, subject: Path, motion: Path) -> None:
    all_four = [
        made(base),
        made(base, subject=subject),
        made(base, motion=motion),
        made(base, subject=subject, motion=motion),
    ]
    for video in all_four:
        assert video.frames.shape == (3, 16, 16, 3)
        assert video.frames.dtype == np.uint8
        assert len(np.unique(video.frames)) > 50
    assert not any(same(a, b) for i, a in enumerate(all_four) for b in all_four[:i])


def test_the_same_seed_gives_the_same_frames_and_another_others(base: Base, subject: Path, motion: Path) -> None:
    both = {"subject": subject, "motion": motion}
    cases: list[tuple[str, dict[str, Any]]] = [("a *", both), ("a dog", {})]
    for prompt, learnt in cases:
        first = made(base, prompt, seed=1, **learnt)
        made(base, prompt, seed=2, **learnt)
        assert same(made(base, prompt, seed=1, **learnt), first)
        assert made(base, prompt, seed=1, **learnt).record == first.record
        assert not same(made(base, prompt, seed=2, **learnt), first)


def test_a_composition_leaves_the_base_as_it_was(base: Base, subject: Path, motion: Path) -> None:
    bare = made(base)
    made(base, "a *", subject=subject, motion=motion)
    assert same(made(base), bare)


def test_strengths_of_zero_are_the_bare_base(base: Base, subject: Path, motion: Path) -> None:
    off = replace(CONFIG, subject_strength=0.0, motion_strength=0.0)
    assert same(made(base, config=off, subject=subject, motion=motion), made(base))
    only_motion = replace(CONFIG, subject_strength=0.0)
    # The subject's photographs still lend their look; given a picture of its own, a motion alone is the same.
    assert not same(made(base, config=only_motion, subject=subject, motion=motion), made(base))


def test_a_delayed_subject_acts_in_the_later_steps_only(base: Base, subject: Path) -> None:
    """Its token is said all along; its adapter is left out until its share of the steps has passed."""
    four = replace(CONFIG, steps=4)
    late = made(base, "a *", subject=subject, config=replace(four, subject_delay=0.5))
    assert not same(late, made(base, "a *", subject=subject, config=four))
    never = made(base, "a *", subject=subject, config=replace(four, subject_delay=1.0))
    off = made(base, "a *", subject=subject, config=replace(four, subject_strength=0.0))
    assert same(never, off)
    assert not same(late, off)


def test_a_motion_until_a_share_of_the_steps_acts_in_those_only(base: Base, motion: Path) -> None:
    four = replace(CONFIG, steps=4, motion_strength=2.0)

    def until(share: float) -> Composition:
        return made(base, motion=motion, config=replace(four, motion_until=share))

    assert same(until(1.0), made(base, motion=motion, config=four))
    assert not same(until(0.5), until(1.0))
    assert not same(until(0.5), until(0.0))
    assert same(until(0.0), made(base, motion=motion, config=replace(four, motion_strength=0.0)))


def test_the_star_is_the_subjects_token(base: Base, subject: Path, tmp_path: Path) -> None:
    star = made(base, "a *", subject=subject)
    adapter = read_adapter(subject)
    write_adapter(replace(adapter, token=random(9, 32)), tmp_path / "other")
    assert not same(made(base, "a *", subject=tmp_path / "other"), star)
    assert same(made(base, "a dog", subject=tmp_path / "other"), made(base, "a dog", subject=subject))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 3},
        {"sampler": "unipc"},
        {"guidance_scale": 1.0},
        {"guidance_scale": 6.0},
        {"guidance_from": 0.5},
        {"guidance_until": 0.5},
        {"negative_prompt": "a fox"},
        {"eta": 1.0},
        {"offset_noise": 0.5},
        {"subject_strength": 0.5},
        {"subject_delay": 0.5},
        {"motion_strength": 0.5},
        {"motion_until": 0.5},
        {"appearance_strength": 0.0},
        {"unconditional_appearance_strength": 1.0},
    ],
)
def test_each_setting_changes_the_video(base: Base, subject: Path, motion: Path, change: dict[str, Any]) -> None:
    usual = made(base, "a *", subject=subject, motion=motion)
    changed = made(base, "a *", subject=subject, motion=motion, config=replace(CONFIG, **change))
    assert not same(changed, usual)


def test_size_and_frames_are_as_asked(base: Base) -> None:
    video = made(base, config=replace(CONFIG, size=(24, 16), frames=5))
    assert video.frames.shape == (5, 16, 24, 3)


def test_without_guidance_the_unconditional_branch_is_not_run(base: Base, motion: Path) -> None:
    batches: list[int] = []
    handle = base.denoiser.register_forward_pre_hook(lambda _m, inputs: batches.append(len(inputs[0])))
    try:
        made(base, motion=motion)
        made(base, motion=motion, config=replace(CONFIG, guidance_scale=1.0))
    finally:
        handle.remove()
    assert batches == [2, 2, 1, 1]


@pytest.mark.parametrize("count", [1, 2])
def test_guidance_acts_in_its_part_of_the_steps_and_the_others_take_one_branch(
    base: Base, subject: Path, motion: Path, count: int
) -> None:
    """A step without guidance is that of a video without any, motions looking at their picture included."""
    steps = replace(CONFIG, steps=4, guidance_from=0.25, guidance_until=0.75)
    batches: list[int] = []
    handle = base.denoiser.register_forward_pre_hook(lambda _m, inputs: batches.append(len(inputs[0])))
    shots = [Shot("a *", seed) for seed in range(count)]
    try:
        found = compose_batch(base, shots, config=steps, adapters=applied(subject, motion))
    finally:
        handle.remove()
    assert batches == [count, 2 * count, 2 * count, count]
    usual = compose_batch(base, shots, config=replace(CONFIG, steps=4), adapters=applied(subject, motion))
    assert not any(same(one, other) for one, other in zip(found, usual, strict=True))
    late = replace(CONFIG, steps=4, guidance_from=0.75, guidance_scale=1 + 1e-7)
    unguided = compose_batch(base, shots, config=late, adapters=applied(subject, motion))
    plain = compose_batch(
        base, shots, config=replace(CONFIG, steps=4, guidance_scale=1), adapters=applied(subject, motion)
    )
    assert all(
        np.abs(one.frames.astype(int) - other.frames).max() <= 1 for one, other in zip(unguided, plain, strict=True)
    )


def test_guidance_that_would_act_in_no_step_is_refused() -> None:
    with pytest.raises(InputError, match=r"`guidance_from` is 0\.5 and `guidance_until` 0\.5"):
        replace(CONFIG, guidance_from=0.5, guidance_until=0.5)


def test_both_objectives_compose(load: LoadBase) -> None:
    assert not same(made(load("v_prediction")), made(load("epsilon")))


def test_it_tells_every_step(base: Base) -> None:
    told: list[tuple[int, int]] = []
    made(base, on_step=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


# --- values that are no numbers ---


def test_a_video_that_is_not_finite_is_an_error_that_says_what_to_lower(base: Base, subject: Path) -> None:
    adapter = subject_of(base)
    huge = {name: tensor * 1e30 for name, tensor in adapter.weights.items()}
    write_adapter(replace(adapter, weights=huge), subject)
    with pytest.raises(JobError) as caught:
        made(base, "a dog runs", seed=7, subject=subject)
    for told in ('"a dog runs", seed 7,', "after denoising", "nothing is written", "`subject_strength` or `guidance"):
        assert told in str(caught.value)
    assert "motion_strength" not in str(caught.value) and "fp16" not in str(caught.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_only_the_video_that_is_not_finite_is_named(base: Base, value: float) -> None:
    def break_one(_module: object, _inputs: object, pictures: torch.Tensor) -> torch.Tensor:
        if len(pictures) > CONFIG.frames:
            pictures[CONFIG.frames, 0, 0, 0] = value  # in the first frame of the second video
        return pictures

    with (
        vae_of(base).decoder.register_forward_hook(break_one),
        pytest.raises(JobError, match=r"seed 11, has .* after decoding, .*: check the files of the base"),
    ):
        compose_batch(base, [Shot("a dog", 10), Shot("a dog", 11), Shot("a dog", 12)], config=CONFIG)


# --- the record, and what guides the appearance ---


def test_the_record_tells_how_it_was_made(base: Base, motion: Path) -> None:
    record = made(base, "a dog spins", seed=7, motion=motion).record
    assert (record["prompt"], record["seed"]) == ("a dog spins", 7)
    assert record["base"] == {"name": "tiny0", "fingerprint": base.fingerprint}
    assert record["dtype"] == "float32"
    assert record["made_by"].startswith("dv ")
    assert record["settings"]["guidance_scale"] == 3.0
    assert record["adapters"] == [{"role": "motion", "name": "motion", "strength": 1.0, "start": 0.0, "stop": 1.0}]
    assert json.loads(json.dumps(record)) == record


def test_a_video_is_made_from_sources_that_are_not_installed(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.versions.DISTRIBUTION", "a-distribution-that-is-not-there")
    assert made(base).record["made_by"] == "dv 0 (not installed)"


def test_the_look_is_a_subjects_else_a_motions_chosen_by_the_seed(base: Base, subject: Path, motion: Path) -> None:
    def seen(**learnt: Path) -> list[dict[str, Any]]:
        return [made(base, seed=seed, **learnt).record["appearance"] for seed in range(8)]  # type: ignore[arg-type]

    one_step = seen(subject=subject, motion=motion)
    assert {look["from"] for look in one_step} == {"subject"}
    assert {look["index"] for look in one_step} <= set(range(5))
    assert len({look["index"] for look in one_step}) > 1
    assert {look["from"] for look in seen(motion=motion)} == {"motion"}
    assert made(base, subject=subject).record["appearance"] is None
    assert made(base).record["appearance"] is None


def test_a_picture_decides_the_look(base: Base, subject: Path, motion: Path, tmp_path: Path) -> None:
    videos = []
    for name, colour in (("red.png", (255, 0, 0)), ("blue.png", (0, 0, 255))):
        Image.new("RGB", (20, 20), colour).save(tmp_path / name)
        videos.append(made(base, subject=subject, motion=motion, appearance=tmp_path / name))
    assert [v.record["appearance"]["from"] for v in videos] == ["picture", "picture"]
    assert videos[0].record["appearance"]["sha256"] != videos[1].record["appearance"]["sha256"]
    assert not same(*videos)


def test_a_picture_without_a_motion_that_looks_is_an_error(base: Base, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (20, 20), "red").save(picture)
    with pytest.raises(InputError, match="`appearance` needs `motion`"):
        made(base, appearance=picture)
    write_adapter(motion_of(base, condition_width=None), tmp_path / "blind")
    with pytest.raises(InputError, match="`appearance` needs `motion`"):
        made(base, appearance=picture, motion=tmp_path / "blind")
    assert made(base, motion=tmp_path / "blind").record["appearance"] is None


def test_a_motion_without_any_look_asks_for_one(base: Base, tmp_path: Path) -> None:
    write_adapter(replace(motion_of(base), embeddings=None), tmp_path / "motion")
    with pytest.raises(InputError, match="give a picture with `appearance`"):
        made(base, motion=tmp_path / "motion")


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_videos_made_together_are_those_made_alone(base: Base, subject: Path, motion: Path, eta: float) -> None:
    config = replace(CONFIG, eta=eta, offset_noise=0.1, unconditional_appearance_strength=0.5)
    shots = [Shot("a dog", 0), Shot("a * at night", 1), Shot("a dog", 2)]
    together = compose_batch(base, shots, config=config, adapters=applied(subject, motion))
    for shot, one in zip(shots, together, strict=True):
        alone = made(base, shot.prompt, config=config, seed=shot.seed, subject=subject, motion=motion)
        assert one.record == alone.record
        np.testing.assert_allclose(one.frames.astype(int), alone.frames.astype(int), atol=1)


# --- what is refused ---


def test_a_star_without_a_token_is_an_error(base: Base, motion: Path) -> None:
    with pytest.raises(InputError, match=r'"a \* spins" has a \*'):
        made(base, "a * spins", motion=motion)


@pytest.mark.parametrize("size", [(18, 16), (16, 18)])
def test_a_size_that_does_not_fit_says_what_does(base: Base, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"`size` {size[0]}x{size[1]} .* must be multiples of 4"):
        made(base, config=replace(CONFIG, size=size))


def test_the_other_kind_of_adapter_is_refused(base: Base, subject: Path, motion: Path) -> None:
    with pytest.raises(AdapterError, match="is a motion, not a subject"):
        made(base, subject=motion)
    with pytest.raises(AdapterError, match="is a subject, not a motion"):
        made(base, motion=subject)


def test_another_base_is_refused_unless_insisted_on(load: LoadBase, base: Base, subject: Path, motion: Path) -> None:
    other = load(seed=1)
    cases: list[dict[str, Any]] = [{"subject": subject}, {"motion": motion}]
    for learnt in cases:
        with pytest.raises(AdapterError) as caught:
            made(other, **learnt)
        assert base.fingerprint[:12] in str(caught.value)
        assert other.fingerprint[:12] in str(caught.value)
        assert not same(made(other, allow_other_base=True, **learnt), made(other))


@pytest.mark.parametrize("part", ["weights", "token", "look"])
def test_insisting_where_shapes_do_not_fit_is_an_error_and_no_crash(base: Base, tmp_path: Path, part: str) -> None:
    subject, motion = replace(subject_of(base), base_fingerprint="f" * 64), motion_of(base)
    if part == "weights":
        name = next(k for k in subject.weights if k.endswith("/down.weight"))
        site = name.rpartition("/")[0]
        wider = {f"{site}/down.weight": random(0, 8, 48), f"{site}/up.weight": random(0, 48, 8)}
        wider |= {f"{site}/down.bias": random(0, 8), f"{site}/up.bias": random(0, 48)}
        subject = replace(subject, weights={**subject.weights, **wider})
    elif part == "token":
        subject = replace(subject, token=random(0, 48))
    else:
        subject = replace(subject, embeddings=random(0, 5, 40))
    write_adapter(subject, tmp_path / "subject")
    write_adapter(motion, tmp_path / "motion")
    with pytest.raises(AdapterError):
        made(base, "a *", subject=tmp_path / "subject", motion=tmp_path / "motion", allow_other_base=True)

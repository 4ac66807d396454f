"""What training steps see of photographs, masks, captions and clips, setting by setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.adapters.bottleneck import AdapterSet, motion_sites
from engine.adapters.storage import read_adapter
from engine.bases.family import Conditioning
from engine.learning import learn_motion, learn_subject
from engine.planning import plan_subject
from tests.engine.learning_samples import SIZE, Calls, LoadBase, both, files, motion_plan, subject_plan, watched


def test_offset_noise_reaches_what_is_trained_on(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    spreads = []
    for strength in (0.0, 50.0):
        base = load()
        with watched(base) as calls:
            learn_subject(subject_plan(base, photographs, offset_noise=strength), base, tmp_path / str(strength))
        spreads.append(max(float(noisy.mean(dim=(-2, -1)).abs().max()) for noisy in calls.noisy))
    assert spreads[0] < 5
    assert spreads[1] > 20


def test_masks_are_used_unless_told_not_to(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    def learnt(name: str, **options: object) -> dict[str, bytes]:
        base = load()
        learn_subject(subject_plan(base, photographs, **options), base, tmp_path / name)
        return files(tmp_path / name)

    plain = learnt("plain")
    (photographs / "masks").mkdir()
    for i in range(3):
        mask = np.zeros((20, 24), dtype=np.uint8)
        mask[:10] = 255
        Image.fromarray(mask).save(photographs / "masks" / f"{i}.png")
    masked = learnt("masked")
    assert masked["learned_embeds.safetensors"] != plain["learned_embeds.safetensors"]
    assert masked["adapter.safetensors"] != plain["adapter.safetensors"]
    assert learnt("unmasked", use_masks=False) == plain


def test_a_shift_changes_what_is_learnt_and_repeats(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    def learnt(name: str, **options: object) -> bytes:
        base = load()
        learn_subject(subject_plan(base, photographs, **options), base, tmp_path / name)
        return files(tmp_path / name)["adapter.safetensors"]

    moved = learnt("moved", shift=0.25)
    assert moved == learnt("again", shift=0.25)
    assert moved != learnt("plain")


def test_aspect_ratios_are_kept_where_that_is_asked_for(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    """Each with its caption and its mask; previews are of the size asked for."""
    (photographs / "masks").mkdir()
    for number, (width, height) in enumerate(((16, 16), (24, 12), (12, 24))):
        Image.fromarray(np.full((height, width, 3), 50 * number, dtype=np.uint8)).save(photographs / f"{number}.png")
        (photographs / f"{number}.txt").write_text(f"a dog {'abc'[number]}")
        Image.fromarray(np.full((height, width), 255, dtype=np.uint8)).save(photographs / "masks" / f"{number}.png")
    few = {"token_steps": 1, "adapter_steps": 10, "batch_size": 1, "held_out_every": 5}

    def learnt(name: str, **options: object) -> tuple[Calls, bytes]:
        base = load()
        with watched(base) as calls:
            made = learn_subject(subject_plan(base, photographs, **few, **options), base, tmp_path / name)
        assert made.effect is not None and made.effect.loss > 0
        return calls, files(tmp_path / name)["adapter.safetensors"]

    calls, adapter = learnt("kept", aspect_ratios=True, preview_every=10)
    assert {noisy.shape[-2:] for noisy in calls.noisy if noisy.shape[2] == 1} == {(8, 8), (6, 10), (10, 6)}
    assert {noisy.shape[-2:] for noisy in calls.noisy if noisy.shape[2] > 1} == {(8, 8)}
    texts = {tuple(noisy.shape[-2:]): text for noisy, text in zip(calls.noisy, calls.text, strict=True)}
    assert not torch.equal(texts[6, 10], texts[10, 6])
    assert learnt("again", aspect_ratios=True)[1] == adapter
    calls, cropped = learnt("cropped")
    assert {noisy.shape[-2:] for noisy in calls.noisy} == {(8, 8)}
    assert cropped != adapter


def test_a_short_clip_trains_on_what_it_has_and_says_so(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    base = load()
    plan = motion_plan(base, [clips / "short"])
    assert "short has 3 of the 4 frames asked for and trains on those" in plan.notes
    with watched(base) as calls:
        learn_motion(plan, base, tmp_path / "out")
    assert {noisy.shape for noisy in calls.noisy} == {(2, 4, 3, 8, 8)}


def test_clips_of_different_lengths_train_together(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    base = load()
    with watched(base) as calls:
        learn_motion(motion_plan(base, both(clips), steps=8), base, tmp_path / "out")
    assert {noisy.shape[2] for noisy in calls.noisy} == {3, 4}
    assert sum(len(noisy) for noisy in calls.noisy) == 8 * 2


@pytest.mark.parametrize("p_zero", [0.0, 1.0])
def test_captions_are_dropped_as_often_as_told(load: LoadBase, clips: Path, tmp_path: Path, p_zero: float) -> None:
    base = load()
    empty, caption = base.text.encode(["", "a dog spins"]).embeddings
    with watched(base) as calls:
        learn_motion(motion_plan(base, both(clips), p_zero=p_zero), base, tmp_path / "out")
    expected = empty if p_zero == 1 else caption
    assert all(torch.equal(row, expected) for text in calls.text for row in text)


def test_a_clips_own_caption_is_its_prompt(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    (clips / "short.txt").write_text("a fox jumps\n")
    base = load()
    own, shared = base.text.encode(["a fox jumps", "a dog spins"]).embeddings
    with watched(base) as calls:
        learn_motion(motion_plan(base, both(clips), p_zero=0.0, steps=6), base, tmp_path / "out")
    for noisy, text in zip(calls.noisy, calls.text, strict=True):
        assert all(torch.equal(row, own if noisy.shape[2] == 3 else shared) for row in text)


@pytest.mark.parametrize("p_image_zero", [0.0, 1.0])
def test_image_embeddings_are_dropped_as_often_as_told(
    load: LoadBase, clips: Path, tmp_path: Path, p_image_zero: float
) -> None:
    """A zero embedding teaches W_cond nothing, only its bias."""
    base = load()
    fresh = AdapterSet.create(motion_sites(base.sites), 0.5, condition_width=24, seed=0).state()
    learn_motion(motion_plan(base, both(clips), p_image_zero=p_image_zero), base, tmp_path / "out")
    learnt = read_adapter(tmp_path / "out").weights
    conditions = [name for name in fresh if name.endswith("condition.weight")]
    moved = [not torch.equal(learnt[name], fresh[name]) for name in conditions]
    assert all(moved) if p_image_zero == 0 else not any(moved)
    assert not torch.equal(*(s[conditions[0].replace("weight", "bias")] for s in (learnt, fresh)))


def test_no_strength_is_no_guidance_in_learning(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    base = load()
    fresh = AdapterSet.create(motion_sites(base.sites), 0.5, condition_width=24, seed=0).state()
    learn_motion(motion_plan(base, both(clips), appearance_strength=0.0), base, tmp_path / "out")
    learnt = read_adapter(tmp_path / "out").weights
    assert all(torch.equal(learnt[name], fresh[name]) for name in fresh if "/condition." in name)
    assert any(not torch.equal(learnt[name], fresh[name]) for name in fresh)


def test_without_appearance_guidance_nothing_is_looked_at(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    base = load()
    base.image_encoder = None
    learn_motion(motion_plan(base, both(clips), appearance_guidance=False), base, tmp_path / "out")
    assert set(files(tmp_path / "out")) == {"adapter.safetensors"}
    assert not any("condition" in name for name in read_adapter(tmp_path / "out").weights)


def test_accumulating_draws_as_many_samples(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    base = load()
    with watched(base) as calls:
        learn_subject(subject_plan(base, photographs, gradient_accumulation=3), base, tmp_path / "out")
    assert [len(noisy) for noisy in calls.noisy] == [2] * (3 + 3) * 3
    assert len({noisy.sum().item() for noisy in calls.noisy}) == len(calls.noisy)


@pytest.mark.parametrize(("method", "called"), [("dreamvideo", "*"), ("dreamvideo-no-token", "sks dog")])
def test_captions_beside_photographs_are_trained_on(
    load: LoadBase, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, called: str
) -> None:
    (photographs / "0.txt").write_text("a photo of a dog on grass")
    (photographs / "1.TXT").write_text("a * in snow")
    base = load()
    options = {"batch_size": 2, "size": SIZE, "adapter_steps": 8} | ({"token_steps": 8} if called == "*" else {})
    plan = plan_subject([photographs], "dog", info=base.info, options=options, method=method)
    encoded: set[str] = set()
    encode = base.text.encode

    def watched(prompts: Sequence[str], token: Tensor | None = None) -> Conditioning:
        encoded.update(prompts)
        return encode(prompts, token)

    monkeypatch.setattr(base.text, "encode", watched)
    learn_subject(plan, base, tmp_path / "learnt")
    assert encoded == {f"a photo of a {called} on grass", f"a {called} in snow", f"a {called}"}

"""Learning a subject and a motion on a base in miniature: files, repeats, interruptions, and what each setting does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
from engine.adapters.storage import read_adapter
from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.errors import ResumeError
from engine.estimating import estimate
from engine.learning import Learned, denoising_loss, learn_motion, learn_subject
from engine.media.video import write_video
from engine.methods.dreamvideo import SubjectConfig
from engine.planning import MotionPlan, SubjectPlan, plan_motion, plan_subject
from engine.training import Progress, generator_at
from tests.engine.unet3d_parts import encoder_of, objective_of, text_of, vae_of

LoadBase = Callable[..., Base]
SIZE = (16, 16)


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(pixels(i, 20, 24)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A video of 9 frames, and a folder of 3."""
    folder = tmp_path / "clips"
    (folder / "short").mkdir(parents=True)
    write_video(pixels(5, 9, 16, 16), folder / "long.mp4", 8.0, {})
    for i, frame in enumerate(pixels(6, 3, 16, 16)):
        Image.fromarray(frame).save(folder / "short" / f"{i}.png")
    return folder


def subject_plan(base: Base, images: Path, **options: object) -> SubjectPlan:
    few = {"token_steps": 3, "adapter_steps": 3, "batch_size": 2, "size": SIZE, "token_learning_rate": 0.01}
    return plan_subject([images], "dog", info=base.info, options={**few, "adapter_learning_rate": 0.01, **options})


def motion_plan(base: Base, paths: list[Path], **options: object) -> MotionPlan:
    few = {"steps": 4, "batch_size": 2, "size": SIZE, "frames": 4, "learning_rate": 0.01}
    return plan_motion(paths, "a dog spins", info=base.info, options={**few, **options})


def both(clips: Path) -> list[Path]:
    return [clips / "long.mp4", clips / "short"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass
class Calls:
    """What the denoiser was asked."""

    noisy: list[Tensor] = field(default_factory=list)
    text: list[Tensor] = field(default_factory=list)


@contextmanager
def watched(base: Base) -> Iterator[Calls]:
    calls = Calls()

    def note(_module: object, inputs: tuple[Tensor, ...]) -> None:
        calls.noisy.append(inputs[0].detach())
        calls.text.append(inputs[2].detach())

    handle = base.denoiser.register_forward_pre_hook(note)
    try:
        yield calls
    finally:
        handle.remove()


# --- the files ---


def metadata_of(folder: Path) -> dict[str, str]:
    with safe_open(folder / "adapter.safetensors", framework="pt") as file:
        return dict(file.metadata())


def test_a_subject_is_three_files(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    base, told = load(), []
    embeddings = base.encode_images([pixels(i, 16, 16) for i in range(3)])
    learned = learn_subject(
        subject_plan(base, photographs), base, tmp_path / "out", on_progress=lambda part, p: told.append((part, p))
    )
    assert set(files(tmp_path / "out")) == {
        "adapter.safetensors",
        "learned_embeds.safetensors",
        "image_embeddings.safetensors",
    }
    adapter, sites = read_adapter(tmp_path / "out"), identity_sites(base.sites)
    assert (adapter.kind, adapter.method, adapter.base_fingerprint) == ("subject", "dreamvideo", base.fingerprint)
    assert adapter.widths == {s.name: s.width // 2 for s in sites}
    metadata = metadata_of(tmp_path / "out")
    assert metadata.keys() == {"format_version", "kind", "method", "base_fingerprint", "widths"}
    assert json.loads(metadata["widths"]) == adapter.widths
    assert adapter.token is not None
    assert adapter.token.shape == (32,)
    assert adapter.embeddings is not None
    assert adapter.embeddings.shape == embeddings.shape == (3, 24)
    assert [(part, p.step, p.steps) for part, p in told] == [
        *(("token", i, 3) for i in (1, 2, 3)),
        *(("identity", i, 3) for i in (1, 2, 3)),
    ]
    size = sum(2 * s.width * (s.width // 2) + s.width // 2 + s.width for s in sites)
    assert learned == Learned(
        "subject", "dreamvideo", tmp_path / "out", 6, told[-1][1].loss,
        {"token": told[2][1].loss, "identity": told[-1][1].loss}, {"token": 32, "identity": size},
    )  # fmt: skip


def test_a_motion_is_two_files(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    base = load()
    learned = learn_motion(motion_plan(base, both(clips)), base, tmp_path / "out")
    assert set(files(tmp_path / "out")) == {"adapter.safetensors", "image_embeddings.safetensors"}
    adapter = read_adapter(tmp_path / "out")
    assert (adapter.kind, adapter.base_fingerprint, adapter.token) == ("motion", base.fingerprint, None)
    assert adapter.widths.keys() == {s.name for s in motion_sites(base.sites)}
    assert adapter.embeddings is not None
    assert adapter.embeddings.shape == (8 + 3, 24)  # eight of the long clip's nine frames, all of the short one's
    assert (learned.steps, learned.losses) == (4, {"motion": learned.final_loss})
    assert learned.parameters == {"motion": sum(t.numel() for t in adapter.weights.values())}


def test_each_part_is_learnt_and_the_base_is_not(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    base = load()
    start = base.text.start_embedding(None, "dog")
    before = {name: p.clone() for name, p in base.denoiser.named_parameters()}
    learn_subject(subject_plan(base, photographs), base, tmp_path / "out")
    adapter = read_adapter(tmp_path / "out")
    assert adapter.token is not None
    assert 0.005 < float((adapter.token - start).abs().max()) < 0.05
    ups = [t for name, t in adapter.weights.items() if name.endswith("up.weight")]
    assert all(t.abs().max() > 0 for t in ups)
    assert all(torch.equal(p, before[name]) for name, p in base.denoiser.named_parameters())


def test_the_token_file_is_diffusers_textual_inversion(load: LoadBase, photographs: Path, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, TextToVideoSDPipeline

    base = load()
    learn_subject(subject_plan(base, photographs), base, tmp_path / "out")
    whole = load()
    tokenizer = type(text_of(whole).prompts.tokenizer).from_pretrained(whole.info.folder / "tokenizer")
    scheduler = DDIMScheduler.from_pretrained(whole.info.folder / "scheduler")
    pipeline = TextToVideoSDPipeline(vae_of(whole), encoder_of(whole), tokenizer, whole.denoiser, scheduler)
    pipeline.load_textual_inversion(str(tmp_path / "out"))
    with safe_open(tmp_path / "out" / "learned_embeds.safetensors", framework="pt") as file:
        (name,) = file.keys()
        token = file.get_tensor(name)
    place = tokenizer.convert_tokens_to_ids(name)
    assert torch.equal(encoder_of(whole).get_input_embeddings().weight[place], token)


@pytest.mark.parametrize("kind", ["subject", "motion"])
def test_what_was_announced_is_what_is_trained(
    load: LoadBase, photographs: Path, clips: Path, tmp_path: Path, kind: str
) -> None:
    base = load()
    if kind == "subject":
        plan: Any = subject_plan(base, photographs)
        learned = learn_subject(plan, base, tmp_path / "out")
    else:
        plan = motion_plan(base, both(clips))
        learned = learn_motion(plan, base, tmp_path / "out")
    told = estimate(plan, base.info.location, device="cpu", dtype="fp32")
    assert told.parameters == learned.parameters
    assert sum(told.steps.values()) == learned.steps


# --- equal runs ---


@pytest.mark.parametrize("kind", ["subject", "motion"])
def test_equal_runs_have_equal_files_and_another_seed_has_not(
    load: LoadBase, photographs: Path, clips: Path, tmp_path: Path, kind: str
) -> None:
    first, again, other = (
        learned_files(load(), kind, photographs, clips, tmp_path / str(i), seed=seed)
        for i, seed in enumerate((0, 0, 1))
    )
    assert first == again
    assert first["adapter.safetensors"] != other["adapter.safetensors"]


def learned_files(
    base: Base,
    kind: str,
    photographs: Path,
    clips: Path,
    folder: Path,
    *,
    run: Path | None = None,
    on_progress: Callable[[str, Progress], None] | None = None,
    **options: object,
) -> dict[str, bytes]:
    if kind == "subject":
        learn_subject(subject_plan(base, photographs, **options), base, folder, run=run, on_progress=on_progress)
    else:
        learn_motion(motion_plan(base, both(clips), **options), base, folder, run=run, on_progress=on_progress)
    return files(folder)


@pytest.mark.parametrize(("kind", "part"), [("subject", "token"), ("subject", "identity"), ("motion", "motion")])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_ends_in_the_same_bytes(
    load: LoadBase, photographs: Path, clips: Path, tmp_path: Path, kind: str, part: str, error: type[BaseException]
) -> None:
    expected = learned_files(load(), kind, photographs, clips, tmp_path / "whole", snapshot_every=1)

    def stop(at: str, progress: Progress) -> None:
        if (at, progress.step) == (part, 2):
            raise error

    run = tmp_path / "run"
    with pytest.raises(error):
        learned_files(
            load(), kind, photographs, clips, tmp_path / "out", run=run, on_progress=stop, snapshot_every=1
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
    told: list[tuple[str, int]] = []
    found = learned_files(
        load(), kind, photographs, clips, tmp_path / "out", run=run, snapshot_every=1,
        on_progress=lambda at, progress: told.append((at, progress.step)),
    )  # fmt: skip
    assert found == expected
    # Ctrl-C keeps the step that it found done; a kill has the snapshot of the step before.
    assert told[0] == (part, 3 if error is KeyboardInterrupt else 2)


@pytest.mark.parametrize("change", ["setting", "source", "class", "base"])
def test_a_run_of_another_subject_is_not_continued(
    load: LoadBase, photographs: Path, tmp_path: Path, change: str
) -> None:
    base = load()
    run = tmp_path / "run"
    learn_subject(subject_plan(base, photographs), base, tmp_path / "out", run=run)
    base = load(seed=1) if change == "base" else load()
    plan = subject_plan(base, photographs)
    if change == "setting":
        plan = subject_plan(base, photographs, offset_noise=0.2)
    elif change == "source":
        Image.fromarray(pixels(9, 20, 24)).save(photographs / "0.png")
        plan = subject_plan(base, photographs)
    elif change == "class":
        few = {f: getattr(plan.settings.config, f) for f in ("token_steps", "adapter_steps", "batch_size", "size")}
        rates = {f: getattr(plan.settings.config, f) for f in ("token_learning_rate", "adapter_learning_rate")}
        plan = plan_subject([photographs], "fox", info=base.info, options={**few, **rates})
    with pytest.raises(ResumeError, match="other settings or sources"):
        learn_subject(plan, base, tmp_path / "again", run=run)


@pytest.mark.parametrize("change", [{"start": 0.5}, {"end": 0.5}])
def test_a_run_of_another_part_of_a_clip_is_not_continued(
    load: LoadBase, clips: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    base, run = load(), tmp_path / "run"
    plan = motion_plan(base, [clips / "long.mp4"])
    learn_motion(plan, base, tmp_path / "out", run=run)
    base, values = load(), plan.settings.values()
    other: Any = plan_motion([clips / "long.mp4"], "a dog spins", info=base.info, options=values, **change)
    with pytest.raises(ResumeError):
        learn_motion(other, base, tmp_path / "again", run=run)


# --- the loss ---


def stub(predict: Callable[[Tensor, Tensor, Conditioning], Tensor], objective: object) -> Any:
    return SimpleNamespace(predict=predict, objective=objective, device=torch.device("cpu"))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_masked_loss_sees_nothing_outside(load: LoadBase, prediction_type: str) -> None:
    objective = load(prediction_type).objective
    clean, text = torch.randn(2, 4, 1, 8, 8), Conditioning(torch.zeros(2, 16, 32))
    mask = torch.zeros(2, 1, 1, 8, 8)
    mask[:, :, :, 2:6, 3:7] = 1
    outside, inside = 50 * (1 - mask), torch.zeros_like(mask)
    inside[:, :, :, 3, 3] = 50

    def loss(error: Tensor, mask: Tensor | None) -> float:
        """The loss of a base that predicts zeros, and `error` more."""
        off = stub(lambda noisy, *_: error.expand_as(noisy), objective)
        return float(denoising_loss(off, SubjectConfig(), clean, text, generator_at(0, 0), mask))

    assert loss(outside, mask) == loss(torch.zeros(()), mask)
    assert loss(inside, mask) > 1.5 * loss(torch.zeros(()), mask)
    assert loss(outside, None) > 100
    assert loss(torch.zeros(()), torch.ones_like(mask)) == loss(torch.zeros(()), None)
    # The mean is over everything, as the authors' is: a masked loss is smaller.
    assert loss(torch.zeros(()), mask) < 0.5 * loss(torch.zeros(()), None)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loss_is_the_mean_squared_error_to_the_bases_own_target(load: LoadBase, prediction_type: str) -> None:
    objective = objective_of(load(prediction_type))
    clean, asked = torch.randn(3, 4, 2, 8, 8), []

    def right(noisy: Tensor, timesteps: Tensor, _text: Conditioning) -> Tensor:
        asked.append(timesteps)
        levels = objective.at(timesteps)
        signal = objective.add_noise(clean, torch.zeros_like(clean), levels)
        spread = objective.add_noise(torch.zeros_like(clean), torch.ones_like(clean), levels)
        return objective.target(clean, (noisy - signal) / spread, levels) + 0.5

    loss = denoising_loss(
        stub(right, objective), SubjectConfig(), clean, Conditioning(torch.zeros(3, 16, 32)), generator_at(0, 0)
    )
    assert float(loss) == pytest.approx(0.25, rel=1e-3)
    assert len(set(asked[0].tolist())) == 3  # a timestep for each sample


@pytest.mark.parametrize("strength", [0.0, 0.1, 3.0])
def test_noise_has_its_offset(load: LoadBase, strength: float) -> None:
    objective, clean, noises = objective_of(load()), torch.zeros(8, 4, 8, 16, 16), []

    def note(noisy: Tensor, timesteps: Tensor, _text: Conditioning) -> Tensor:
        noises.append(noisy / objective.add_noise(clean, torch.ones_like(clean), objective.at(timesteps)))
        return noisy

    denoising_loss(
        stub(note, objective),
        SubjectConfig(offset_noise=strength),
        clean,
        Conditioning(torch.zeros(8, 16, 32)),
        generator_at(0, 0),
    )
    expected = (1 / 256 + strength**2) ** 0.5
    assert float(noises[0].mean(dim=(-2, -1)).std()) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("bias", "above"), [(0.5, 0.06), (1.0, 0.25), (2.0, 0.5), (3.0, 0.63)])
def test_noisy_timesteps_are_as_likely_as_asked(load: LoadBase, bias: float, above: float) -> None:
    objective, asked = objective_of(load()), []

    def note(noisy: Tensor, timesteps: Tensor, _text: Conditioning) -> Tensor:
        asked.extend(timesteps.tolist())
        return noisy

    clean = torch.zeros(4000, 4, 1, 1, 1)
    denoising_loss(
        stub(note, objective),
        SubjectConfig(noise_bias=bias),
        clean,
        Conditioning(torch.zeros(4000, 16, 32)),
        generator_at(0, 0),
    )
    steps = len(objective.alphas_cumprod)
    assert min(asked) >= 0 and max(asked) < steps
    assert sum(t >= 0.75 * steps for t in asked) / 4000 == pytest.approx(above, abs=0.03)


def test_the_learning_rate_falls_over_the_last_steps(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    rates = []
    base = load()
    plan = motion_plan(base, both(clips), steps=8, learning_rate=0.008, learning_rate_decay=0.5)
    learn_motion(plan, base, tmp_path / "out", on_progress=lambda _, told: rates.append(told.learning_rate))
    assert rates == pytest.approx([0.008] * 5 + [0.006, 0.004, 0.002])


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


# --- what a motion sees ---


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


@pytest.mark.parametrize("names", [["long.mp4"], ["long.mp4", "short"]])
def test_checkpointing_learns_the_same(load: LoadBase, clips: Path, tmp_path: Path, names: list[str]) -> None:
    """Also where a batch has clips of two lengths, and what is recomputed has looked at another frame."""
    for folder, saving in (("plain", False), ("saving", True)):
        base = load()
        plan = motion_plan(base, [clips / n for n in names], gradient_checkpointing=saving, batch_size=3)
        learn_motion(plan, base, tmp_path / folder)
    assert files(tmp_path / "saving") == files(tmp_path / "plain")


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

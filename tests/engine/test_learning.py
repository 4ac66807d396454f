"""Learning a subject and a motion on a base in miniature: files, repeats, interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from engine.adapters.bottleneck import identity_sites, motion_sites
from engine.adapters.storage import read_adapter
from engine.bases.base import Base
from engine.errors import ResumeError
from engine.estimating import estimate
from engine.learning import Learned, learn_motion, learn_subject
from engine.planning import plan_motion, plan_subject
from engine.training import Progress
from tests.engine.learning_samples import LoadBase, both, files, motion_plan, pixels, subject_plan
from tests.engine.unet3d_parts import encoder_of, text_of, vae_of


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


def test_a_token_of_several_vectors_starts_near_the_class_word(
    load: LoadBase, photographs: Path, tmp_path: Path
) -> None:
    """Each vector by itself: vectors that start alike could stay so. Another seed starts elsewhere."""
    base = load()
    word = base.text.start_embedding(None, "dog")
    tokens = []
    for seed in (0, 0, 1):
        plan = subject_plan(base, photographs, token_vectors=3, token_learning_rate=0.0, seed=seed)
        learned = learn_subject(plan, load(), tmp_path / "out")
        told = estimate(plan, base.info.location, device="cpu", dtype="fp32")
        assert learned.parameters["token"] == told.parameters["token"] == 3 * 32
        token = read_adapter(tmp_path / "out").token
        assert token is not None and token.shape == (3, 32)
        tokens.append(token)
    assert torch.equal(tokens[0], tokens[1]) and not torch.equal(tokens[0], tokens[2])
    apart = (tokens[0] - word).norm(dim=1) / word.norm()
    assert apart[0] == 0 and 0.01 < apart[1:].min() < apart[1:].max() < 0.5


@pytest.mark.parametrize("vectors", [1, 3])
def test_the_token_file_is_diffusers_textual_inversion(
    load: LoadBase, photographs: Path, tmp_path: Path, vectors: int
) -> None:
    from diffusers import DDIMScheduler, TextToVideoSDPipeline

    base = load()
    learn_subject(subject_plan(base, photographs, token_vectors=vectors), base, tmp_path / "out")
    whole = load()
    tokenizer = type(text_of(whole).prompts.tokenizer).from_pretrained(whole.info.folder / "tokenizer")
    scheduler = DDIMScheduler.from_pretrained(whole.info.folder / "scheduler")
    pipeline = TextToVideoSDPipeline(vae_of(whole), encoder_of(whole), tokenizer, whole.denoiser, scheduler)
    pipeline.load_textual_inversion(str(tmp_path / "out"))
    with safe_open(tmp_path / "out" / "learned_embeds.safetensors", framework="pt") as file:
        (name,) = file.keys()
        token = file.get_tensor(name)
    places = tokenizer.convert_tokens_to_ids([name, *(f"{name}_{i}" for i in range(1, vectors))])
    assert torch.equal(encoder_of(whole).get_input_embeddings().weight[places], token.view(vectors, -1))


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


def test_the_learning_rate_falls_over_the_last_steps(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    rates = []
    base = load()
    plan = motion_plan(base, both(clips), steps=8, learning_rate=0.008, learning_rate_decay=0.5)
    learn_motion(plan, base, tmp_path / "out", on_progress=lambda _, told: rates.append(told.learning_rate))
    assert rates == pytest.approx([0.008] * 5 + [0.006, 0.004, 0.002])


@pytest.mark.parametrize("names", [["long.mp4"], ["long.mp4", "short"]])
def test_checkpointing_learns_the_same(load: LoadBase, clips: Path, tmp_path: Path, names: list[str]) -> None:
    """Also where a batch has clips of two lengths, and what is recomputed has looked at another frame."""
    for folder, saving in (("plain", False), ("saving", True)):
        base = load()
        plan = motion_plan(base, [clips / n for n in names], gradient_checkpointing=saving, batch_size=3)
        learn_motion(plan, base, tmp_path / folder)
    assert files(tmp_path / "saving") == files(tmp_path / "plain")

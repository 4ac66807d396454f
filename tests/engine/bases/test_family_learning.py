"""Every family of bases is planned for, learnt on and composed with: no test here knows a family by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.adapters.choosing import SPATIAL, TEMPORAL, TEMPORAL_AND_TIME, Where
from engine.adapters.forms import restored
from engine.adapters.storage import read_adapter
from engine.bases.base import Base
from engine.bases.families import FAMILIES
from engine.bases.family import Codec
from engine.composing import AppliedAdapter, ComposeConfig, compose
from engine.errors import InputError
from engine.estimating import estimate
from engine.evaluation.expected import ReferenceClip
from engine.learning import learn_motion, learn_subject
from engine.planning import MotionPlan, SubjectPlan, plan_motion, plan_subject
from tests.engine.bases.conftest import Sample
from tests.engine.bases.family_samples import FRAMES, SIZE, predicted


def plan_of_subject(sample: Sample, photographs: list[Path], **options: object) -> SubjectPlan:
    return plan_subject(photographs, "dog", info=sample.info, options={"size": SIZE, "batch_size": 2, **options})


def plan_of_motion(sample: Sample, clip: Path, **options: object) -> MotionPlan:
    given = {"size": SIZE, "frames": FRAMES, "batch_size": 2, **options}
    return plan_motion([clip], "a dog runs", info=sample.info, options=given)


def test_a_method_whose_role_has_no_site_is_refused_when_planned(
    sample: Sample, clip: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    family = sample.load().family
    without = type("Without", (type(family),), {"roles": frozenset({"identity"})})()
    for kind, known in FAMILIES.items():
        if known is family:
            monkeypatch.setitem(FAMILIES, kind, without)
    with pytest.raises(InputError, match="no places for motion adapters"):
        plan_of_motion(sample, clip)
    plan_of_subject(sample, photographs)


def test_a_window_of_another_length_is_refused_and_a_short_clip_trimmed_with_a_word(sample: Sample, clip: Path) -> None:
    layout = sample.info.layout
    for frames in range(2, 8):
        if layout.fits(frames):
            assert plan_of_motion(sample, clip, frames=frames).settings.config.frames == frames
            continue
        with pytest.raises(InputError, match=f"`frames` is {frames}: .* {layout.trimmed(frames)} or"):
            plan_of_motion(sample, clip, frames=frames)
    used = plan_of_motion(sample, clip, frames=13).sources[0].used
    assert used.startswith("all 12 frames" if layout.fits(12) else f"{layout.trimmed(12)} of 12 frames")
    assert ("windows encoded ahead" in plan_of_motion(sample, clip).sources[0].used) == (layout.frame_step > 1)


def test_a_subject_and_a_motion_are_learnt_and_composed(
    sample: Sample, photographs: list[Path], clip: Path, tmp_path: Path
) -> None:
    base = sample.load()
    untouched = predicted(base)
    before = {name: parameter.clone() for name, parameter in base.denoiser.named_parameters()}
    subject = plan_of_subject(sample, photographs, token_steps=1, adapter_steps=1)
    motion = plan_of_motion(sample, clip, steps=1)
    learned = (
        learn_subject(subject, base, tmp_path / "subject"),
        learn_motion(motion, sample.load(), tmp_path / "motion"),
    )
    assert all(torch.equal(parameter, before[name]) for name, parameter in base.denoiser.named_parameters())
    plans: tuple[SubjectPlan | MotionPlan, ...] = (subject, motion)
    for plan, result in zip(plans, learned, strict=True):
        told = estimate(plan, sample.location, device="cpu", dtype="fp32")
        assert told.parameters == result.parameters
        assert told.seconds > 0 and told.peak_bytes > 0
        adapter = read_adapter(result.folder)
        assert adapter.base_fingerprint == base.fingerprint
        loaded = restored(adapter.form, adapter.weights)
        assert loaded.state().keys() == adapter.weights.keys()
        assert all(torch.equal(tensor, adapter.weights[name]) for name, tensor in loaded.state().items())
    fresh = sample.load()
    config = ComposeConfig(steps=2, frames=FRAMES, size=SIZE, guidance_scale=3.0)
    adapters = (AppliedAdapter(tmp_path / "subject", "subject"), AppliedAdapter(tmp_path / "motion", "motion"))
    made = compose(fresh, "a * runs", seed=1, config=config, adapters=adapters)
    alone = compose(fresh, "a dog runs", seed=1, config=config)
    assert made.frames.shape == alone.frames.shape == (FRAMES, 16, 16, 3)
    assert (made.frames != alone.frames).any()
    assert torch.equal(predicted(fresh), untouched)


def test_a_size_that_the_base_does_not_take_is_refused_when_planned(
    sample: Sample, photographs: list[Path], clip: Path
) -> None:
    multiple = sample.info.layout.size_multiple
    for size in ((SIZE[0] + multiple // 2, SIZE[1]), (SIZE[0], SIZE[1] + multiple // 2)):
        with pytest.raises(InputError, match=f"`size` {size[0]}x{size[1]} does not fit .* multiples of {multiple}"):
            plan_of_subject(sample, photographs, size=size)
        with pytest.raises(InputError, match=f"`size` {size[0]}x{size[1]} does not fit .* multiples of {multiple}"):
            plan_of_motion(sample, clip, size=size)


def test_images_are_learnt_at_sizes_of_their_own_aspect_ratios(
    sample: Sample, photographs: list[Path], tmp_path: Path
) -> None:
    size = (2 * SIZE[0], 2 * SIZE[1])
    for path, (width, height) in zip(photographs, ((48, 24), (24, 48), (48, 24)), strict=True):
        Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    few = {"size": size, "token_steps": 2, "adapter_steps": 2, "hold_out": 1}
    plan = plan_of_subject(sample, photographs, aspect_ratios=True, **few)
    wide, tall, _ = (source.trained for source in plan.of_role("image"))
    assert wide == tall[::-1] and wide[0] > wide[1]
    assert estimate(plan, sample.location, device="cpu", dtype="fp32").peak_bytes > 0
    learned = learn_subject(plan, sample.load(), tmp_path / "subject")
    assert learned.effect is not None and learned.effect.loss > 0
    assert learned.final_loss > 0


def test_a_motion_is_learnt_and_composed_with_at_other_numbers_of_frames(
    sample: Sample, clip: Path, tmp_path: Path
) -> None:
    learn_motion(plan_of_motion(sample, clip, steps=1, frames=9), sample.load(), tmp_path / "motion")
    config = ComposeConfig(steps=1, frames=FRAMES, size=SIZE, guidance_scale=1.0)
    adapters = (AppliedAdapter(tmp_path / "motion", "motion"),)
    assert compose(sample.load(), "a dog runs", seed=0, config=config, adapters=adapters).frames.shape[0] == FRAMES


@pytest.mark.parametrize(
    ("layers", "kinds"),
    [
        ("cross-attention", {"cross_attention"}),
        ("self-attention+feed-forward", {"self_attention", "feed_forward"}),
        ("all", {"cross_attention", "self_attention", "feed_forward"}),
    ],
)
def test_identity_adapters_sit_beside_the_layers_asked_for_and_a_motions_beside_them(
    sample: Sample, photographs: list[Path], clip: Path, tmp_path: Path, layers: str, kinds: set[str]
) -> None:
    base = sample.load()
    plan = plan_of_subject(sample, photographs, token_steps=1, adapter_steps=1, layers=layers)
    learned = learn_subject(plan, base, tmp_path / "subject")
    of_pictures = {site.name for site in base.sites if site.axis in ("spatial", "joint") and site.kind in kinds}
    assert read_adapter(tmp_path / "subject").widths.keys() == of_pictures
    assert estimate(plan, sample.location, device="cpu", dtype="fp32").parameters == learned.parameters
    learn_motion(plan_of_motion(sample, clip, steps=1), sample.load(), tmp_path / "motion")
    config = ComposeConfig(steps=1, frames=FRAMES, size=SIZE, guidance_scale=1.0)
    adapters = (AppliedAdapter(tmp_path / "subject", "subject"), AppliedAdapter(tmp_path / "motion", "motion"))
    assert compose(sample.load(), "a * runs", seed=1, config=config, adapters=adapters).frames.any()


@pytest.mark.parametrize(("time_embedding", "where"), [(True, TEMPORAL_AND_TIME), (False, TEMPORAL)])
def test_fine_tuning_trains_the_parameters_of_its_labels(
    sample: Sample, photographs: list[Path], clip: Path, tmp_path: Path, time_embedding: bool, where: Where
) -> None:
    options: dict[str, object] = {"size": SIZE, "steps": 1, "learning_rate": 1e-3}
    subject = plan_subject(photographs, "dog", info=sample.info, options=options, method="dreamix")
    learn_subject(subject, sample.load(), tmp_path / "subject")
    options |= {"frames": FRAMES, "time_embedding": time_embedding}
    motion = plan_motion([clip], "a dog runs", info=sample.info, options=options, method="modelscope")
    base = sample.load()
    learn_motion(motion, base, tmp_path / "motion")
    assert read_adapter(tmp_path / "subject").weights.keys() == set(SPATIAL.names(base.labels))
    deltas = read_adapter(tmp_path / "motion").weights
    assert deltas.keys() == set(where.names(base.labels))
    assert any(delta.any() for name, delta in deltas.items() if base.labels[name].axis == "embedding") == time_embedding


def test_dropout_is_repeated_and_over_when_learning_is_or_it_is_refused(
    sample: Sample, clip: Path, tmp_path: Path
) -> None:
    bases = [sample.load() for _ in range(3)]
    family = bases[0].family
    assert family.has_dropout == bool(family.dropouts(bases[0].denoiser))
    if not family.has_dropout:
        with pytest.raises(InputError, match=r"`dropout` is 0\.1"):
            plan_of_motion(sample, clip, dropout=0.1)
        return
    untouched = predicted(bases[0])
    folders = [tmp_path / name for name in ("once", "again", "without")]
    for base, folder, dropout in zip(bases, folders, (0.5, 0.5, 0.0), strict=True):
        learn_motion(plan_of_motion(sample, clip, steps=2, dropout=dropout), base, folder)
    once, again, without = ((folder / "adapter.safetensors").read_bytes() for folder in folders)
    assert once == again != without
    assert not any(module.training for module in bases[0].denoiser.modules())
    assert torch.equal(predicted(sample.load()), untouched)


class UnitCodec:
    """A codec whose latents have unit variance, as those of a trained one have; it keeps what it gave and was given.

    At random weights an autoencoder's latents are close to zero, and a denoiser that normalises what it sees then
    changes with them by twenty times as much: no inversion in few steps follows that.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec, self.factor = codec, 1.0
        self.encoded, self.decoded = torch.empty(0), torch.empty(0)

    def encode(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.codec.encode(windows)
        self.factor, self.encoded = float(mean.std()), mean / mean.std()
        return self.encoded, std / mean.std()

    def decode(self, latents: Tensor) -> Tensor:
        self.decoded = latents
        return self.codec.decode(latents * self.factor)

    def release(self) -> None:
        self.codec.release()


def test_a_video_that_starts_at_a_clip_comes_back_to_it(sample: Sample, clip: Path, tmp_path: Path) -> None:
    """The clip's inverted noise leads to the clip's latents, up to a tenth of them, for flows as for diffusion;
    fresh noise leads elsewhere."""
    base, motion = sample.load(), tmp_path / "motion"
    codec = UnitCodec(base.codec)
    base.codec = codec
    learn_motion(plan_of_motion(sample, clip, steps=1), sample.load(), motion)
    applied = AppliedAdapter(motion, "motion", clips=(ReferenceClip(clip, source_fps=8.0),))
    config = ComposeConfig(
        steps=40, frames=FRAMES, size=SIZE, guidance_scale=1.0, appearance_strength=0.0,
        unconditional_appearance_strength=0.0,
    )  # fmt: skip

    def away(share: float) -> float:
        """How far the video's latents are from the clip's, as a share of these."""
        compose(base, "", seed=0, config=replace(config, motion_init=share), adapters=[applied])
        return float((codec.decoded - codec.encoded).norm() / codec.encoded.norm())

    assert away(1.0) < 0.1
    assert away(0.0) > 1


def test_a_cache_is_used_and_leaves_nothing_or_is_refused(family_base: Base) -> None:
    config = ComposeConfig(steps=3, frames=FRAMES, size=SIZE, cache=1.0)
    if family_base.family.block_cache is None:
        with pytest.raises(InputError, match=f"`cache` is 1, .* the family {family_base.family.name}"):
            compose(family_base, "a dog", seed=0, config=config)
        return
    untouched = predicted(family_base)
    compose(family_base, "a dog", seed=0, config=config)
    assert torch.equal(predicted(family_base), untouched)


def test_composing_refuses_what_the_codec_cannot_give(family_base: Base) -> None:
    layout = family_base.layout
    width = SIZE[0] + layout.size_multiple // 2
    with pytest.raises(InputError, match=f"multiples of {layout.size_multiple}"):
        compose(family_base, "a dog", seed=0, config=ComposeConfig(steps=1, frames=FRAMES, size=(width, SIZE[1])))
    for frames in (f for f in range(1, 8) if not layout.fits(f)):
        with pytest.raises(InputError, match=f"`frames` is {frames}"):
            compose(family_base, "a dog", seed=0, config=ComposeConfig(steps=1, frames=frames, size=SIZE))

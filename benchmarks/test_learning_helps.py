"""That learning learns, on the embedded base with its recommended settings: each part's loss falls, and what is
composed is nearer to what was learnt than the bare base's. Minutes on an idle machine:

    python -m pytest benchmarks/test_learning_helps.py
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.storage import AdapterFiles, read_adapter
from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.bases.load import load_base
from engine.bases.location import EMBEDDED, inspect_base
from engine.composing import AppliedAdapter, compose
from engine.data.clips import probe_clip, read_clip
from engine.data.encoding import encode_clip, encode_images
from engine.data.finding import find_images
from engine.data.images import read_image
from engine.data.windows import FrameSampling
from engine.evaluation.flow import flow_of
from engine.evaluation.judges import judges_of
from engine.evaluation.metrics import clip_i
from engine.evaluation.motion import motion_fidelity_curve, motion_signature
from engine.evaluation.statistics import paired_interval
from engine.learning import learn_motion, learn_subject
from engine.losses import denoised
from engine.methods.dreamvideo import ComposeConfig, SubjectConfig
from engine.planning import plan_motion, plan_subject
from engine.settings import resolve
from engine.training import generator_at
from tests.rendering import MATERIAL

INFO = inspect_base(EMBEDDED)
PAIRS, BATCH, SEEDS = 64, 16, 8
QUICK = replace(resolve(ComposeConfig(), INFO.recommended["compose"], {}).config, steps=8)


@dataclass(frozen=True)
class Learnt:
    subject: Path
    motion: Path


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """A dog and a zigzag, learnt as `dv` recommends."""
    folder = tmp_path_factory.mktemp("learnt")
    subject = plan_subject([MATERIAL / "rex"], "dog", info=INFO, options={})
    motion = plan_motion([MATERIAL / "zigzag"], None, info=INFO, options={})
    learn_subject(subject, load_base(EMBEDDED, device="cpu"), folder / "rex")
    learn_motion(motion, load_base(EMBEDDED, device="cpu"), folder / "zigzag")
    return Learnt(folder / "rex", folder / "zigzag")


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base(EMBEDDED, device="cpu")


@torch.no_grad()
def loss_on_fixed_pairs(base: Base, clean_at: Callable[[Tensor, torch.Generator], Tensor], text: Conditioning) -> float:
    """The mean loss on 64 pairs of noise and timestep that are the same at every call."""
    total = 0.0
    for start in range(0, PAIRS, BATCH):
        generator = generator_at(17, start, "fixed pairs")
        clean = clean_at(torch.arange(start, start + BATCH), generator)
        total += float(denoised(base, SubjectConfig(offset_noise=0.0), clean, text.expand(BATCH), generator).loss)
    return total / (PAIRS // BATCH)


def attached(base: Base, adapter: AdapterFiles, guided_by: Tensor | None = None) -> AbstractContextManager[None]:
    weights = AdapterSet.from_state(adapter.weights)
    if guided_by is not None:
        weights.condition(guided_by.expand(BATCH, -1), torch.ones(BATCH))
    return weights.attached(base)


def test_token_and_identity_lower_the_loss(base: Base, learnt: Learnt) -> None:
    photographs = find_images([MATERIAL / "rex"]).used
    (images,) = encode_images(base, photographs, [], [(64, 64)] * len(photographs)).sizes
    rex = read_adapter(learnt.subject)

    def pictures(indices: Tensor, generator: torch.Generator) -> Tensor:
        return images.latents.sample(indices % len(images.latents.mean), generator)

    with torch.no_grad():
        class_word = base.text.encode(["a *"], base.text.start_embedding(None, "dog"))
        token = base.text.encode(["a *"], rex.token)
    before = loss_on_fixed_pairs(base, pictures, class_word)
    with_token = loss_on_fixed_pairs(base, pictures, token)
    with attached(base, rex):
        with_both = loss_on_fixed_pairs(base, pictures, token)
    assert with_token < 0.9 * before, (before, with_token)
    assert with_both < 0.9 * with_token, (with_token, with_both)


def test_the_motion_adapter_lowers_the_loss(base: Base, learnt: Learnt) -> None:
    path = MATERIAL / "zigzag" / "1-dog.mp4"
    prompt = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
    clip = encode_clip(base, probe_clip(path), FrameSampling(1000, 8), size=(64, 64), appearance=True)

    def whole(_indices: Tensor, generator: torch.Generator) -> Tensor:
        return torch.stack([clip.windows.draw(generator) for _ in range(BATCH)])

    with torch.no_grad():
        text = base.text.encode([prompt])
    before = loss_on_fixed_pairs(base, whole, text)
    assert clip.embeddings is not None
    with attached(base, read_adapter(learnt.motion), clip.embeddings[:1]):
        after = loss_on_fixed_pairs(base, whole, text)
    assert after < 0.9 * before, (before, after)


def made(base: Base, prompt: str, *adapters: AppliedAdapter) -> list[np.ndarray]:
    return [compose(base, prompt, config=QUICK, seed=seed, adapters=adapters).frames for seed in range(SEEDS)]


def test_the_subject_is_nearer_to_its_pictures_than_the_bare_base(base: Base, learnt: Learnt) -> None:
    judge = judges_of(INFO)["clip"]
    wanted = judge.images([read_image(path) for path in find_images([MATERIAL / "rex"]).used])
    bare = made(base, "a dog standing still on grass")
    composed = made(base, "a * standing still on grass", AppliedAdapter(learnt.subject, "subject"))
    near, far = ([clip_i(judge.images(list(frames)), wanted) for frames in videos] for videos in (composed, bare))
    assert paired_interval(near, far).low > 0, (near, far)


def test_the_motion_is_nearer_to_its_clips_than_the_bare_base(base: Base, learnt: Learnt) -> None:
    clips = sorted((MATERIAL / "zigzag").glob("*.mp4"))
    wanted = [[motion_signature(flow_of(read_clip(probe_clip(path))))] for path in clips]
    prompt = "a bear zigzagging on grass"
    composed, bare = made(base, prompt, AppliedAdapter(learnt.motion, "motion")), made(base, prompt)
    near, far = (
        [float(motion_fidelity_curve(motion_signature(flow_of(frames)), wanted).mean()) for frames in videos]
        for videos in (composed, bare)
    )
    assert paired_interval(near, far).low > 0, (near, far)

"""Composing: any subject with any motion in one frozen base."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.adapters.forms import restored
from engine.adapters.learnt import Learnt
from engine.adapters.storage import Adapter, read_adapter
from engine.bases.base import Base
from engine.bases.sizes import check_shape
from engine.data.files import sha256_of
from engine.data.images import read_image
from engine.errors import AdapterError, InputError
from engine.methods.dreamvideo import ComposeConfig
from engine.prompt_limits import limit_of_base
from engine.prompts import PLACEHOLDER, said
from engine.sampling.guidance import guided, prepared
from engine.sampling.levels import Level
from engine.sampling.noise import offset_noise
from engine.sampling.samplers import sampler_named
from engine.settings import as_values, check_seed
from engine.training import generator_at, raise_if_out_of_memory
from engine.versions import version_of_dv

__all__ = ["ComposeConfig", "Composition", "Shot", "compose", "compose_batch"]


@dataclass(frozen=True)
class Shot:
    """One video to be made: its prompt, and the seed of its noise and of its choice of appearance."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Composition:
    """A video, `(F, H, W, 3)` uint8, and the record of how it was made (plain values)."""

    frames: npt.NDArray[np.uint8]
    record: dict[str, Any]


def compose(base: Base, prompt: str, *, seed: int, **options: Any) -> Composition:
    """Make one video of `prompt`: `compose_batch` of one."""
    return compose_batch(base, [Shot(prompt, seed)], **options)[0]


def compose_batch(
    base: Base,
    shots: Sequence[Shot],
    *,
    config: ComposeConfig,
    subject: Path | None = None,
    motion: Path | None = None,
    appearance: Path | None = None,
    allow_other_base: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Composition]:
    """Make a video of each shot, denoised together; `subject` and `motion` are adapters' folders or None.

    Each is the video that its shot gives alone, up to the order in which a device adds.
    A `*` in a prompt stands for the subject, and is said as it was while learning. The image embedding of
    appearance guidance comes from the picture `appearance`, else from a stored one of the subject, else of
    the motion, chosen by the seed.
    Raises `AdapterError` for an adapter that is damaged or made for another base, `InputError` for values
    that do not go together, `OutOfMemoryError` when the device is too small.
    """
    learnt = {
        "subject": _read(subject, "subject", base, allow_other_base),
        "motion": _read(motion, "motion", base, allow_other_base),
    }
    for shot in shots:
        check_seed(shot.seed, "the seed")
        _check(shot.prompt, config, base, learnt["subject"])
    _check_widths(base, learnt)
    looks = _appearances(base, learnt, appearance, [shot.seed for shot in shots])
    _check_embedding(learnt["motion"], looks)
    try:
        videos = _sample(base, shots, config, learnt, looks, on_step)
    except RuntimeError as error:
        raise_if_out_of_memory(error, "lower `frames` or `size`, make fewer videos at once, or use bf16")
        raise
    sources = [look.source for look in looks] if looks is not None else [None] * len(shots)
    return [
        Composition(frames, _record(base, shot, config, source))
        for shot, frames, source in zip(shots, videos, sources, strict=True)
    ]


def _record(base: Base, shot: Shot, config: ComposeConfig, appearance: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "made_by": f"dv {version_of_dv()}",
        "prompt": shot.prompt,
        "seed": shot.seed,
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "dtype": str(base.dtype).removeprefix("torch."),
        "settings": as_values(config),
        "appearance": appearance,
    }


@dataclass(frozen=True)
class Look:
    """An image embedding `(C',)` for appearance guidance, and what a record says of it."""

    embedding: Tensor
    source: dict[str, Any]


@torch.no_grad()
def _sample(
    base: Base,
    shots: Sequence[Shot],
    config: ComposeConfig,
    learnt: dict[str, Adapter | None],
    looks: list[Look] | None,
    on_step: Callable[[int, int], None] | None,
) -> npt.NDArray[np.uint8]:
    """The videos `(B, F, H, W, 3)`."""
    subject = learnt["subject"]
    token = subject.token.to(base.device) if subject is not None and subject.token is not None else None
    branches = 1 if config.guidance_scale == 1 else 2
    prompts = [shot.prompt for shot in shots]
    if branches == 2:
        prompts = [config.negative_prompt] * len(shots) + prompts
    if subject is not None:
        prompts = [said(text, subject.word) for text in prompts]
    text = base.text.encode(prompts, token)
    shape = (1, *base.layout.shape(config.frames, config.size))
    generators = [generator_at(shot.seed, 0, "sampling") for shot in shots]
    start = torch.cat([offset_noise(shape, config.offset_noise, g) for g in generators]).to(base.device)
    levels = base.objective.levels(config.steps)

    def denoise(sample: Tensor, level: Level) -> Tensor:
        return base.predict(sample, torch.full((sample.shape[0],), level.timestep), text)

    with _attached(base, config, learnt, looks, branches) as weights:
        stepwise = prepared(
            guided(denoise, config.guidance_scale), levels, lambda step: _set_strengths(weights, config, step)
        )
        sampler = sampler_named(config.sampler, eta=config.eta)
        latents = sampler(stepwise, start, levels, base.objective, generators=generators, callback=on_step)
    pixels = ((base.codec.decode(latents) + 1) * 127.5).round().to(torch.uint8)
    videos: npt.NDArray[np.uint8] = pixels.permute(0, 2, 3, 4, 1).contiguous().numpy()
    return videos


@contextmanager
def _attached(
    base: Base,
    config: ComposeConfig,
    learnt: dict[str, Adapter | None],
    looks: list[Look] | None,
    branches: int,
) -> Iterator[dict[str, Learnt]]:
    """Attach what was learnt, by its kind, motion under appearance guidance."""
    weights = {
        kind: restored(adapter.form, adapter.weights).to(base.device)
        for kind, adapter in learnt.items()
        if adapter is not None
    }
    if looks is not None:
        conditional = torch.stack([look.embedding for look in looks]).to(base.device)
        lambdas = torch.tensor([config.unconditional_appearance_strength, config.appearance_strength])
        # The unconditional branch looks at a zero embedding.
        seen = torch.cat([torch.zeros_like(conditional), conditional][-branches:])
        weights["motion"].condition(seen, lambdas[-branches:].repeat_interleave(len(looks)).to(base.device))
    with ExitStack() as attached:
        attached.enter_context(base.compute.autocast())
        for each in weights.values():
            attached.enter_context(each.attached(base))
        yield weights


def _set_strengths(weights: dict[str, Learnt], config: ComposeConfig, done: int) -> None:
    """Give the adapters the strengths with which they act in the step after `done` steps."""
    looks = done >= round(config.subject_delay * config.steps)
    moves = done < round(config.motion_until * config.steps)
    strengths = {
        "subject": config.subject_strength if looks else 0.0,
        "motion": config.motion_strength if moves else 0.0,
    }
    for kind, each in weights.items():
        each.strength = strengths[kind]


def _read(folder: Path | None, kind: str, base: Base, allow_other_base: bool) -> Adapter | None:
    if folder is None:
        return None
    adapter = read_adapter(folder)
    if adapter.kind != kind:
        raise AdapterError(f"{folder.name} is a {adapter.kind}, not a {kind}")
    if adapter.base_fingerprint != base.fingerprint and not allow_other_base:
        raise AdapterError(
            f"the {kind} was learnt on the base {adapter.base_fingerprint[:12]}, this is {base.name} "
            f"({base.fingerprint[:12]}): learn it again here, choose its base with `base`, or insist with "
            "`allow_other_base`"
        )
    return adapter


def _check(prompt: str, config: ComposeConfig, base: Base, subject: Adapter | None) -> None:
    placed = prompt if subject is None else said(prompt, subject.word)
    if PLACEHOLDER in placed and (subject is None or subject.token is None):
        raise InputError(f'the prompt "{prompt}" has a * and nothing that was learnt stands for it')
    word = "" if subject is None else subject.word
    limit_of_base(base.info).notes([placed], token=subject is not None and subject.token is not None, mark=word)
    check_shape(base.info, config.frames, config.size)


def _check_widths(base: Base, learnt: dict[str, Adapter | None]) -> None:
    """Refuse a token that this base's text encoder has no room for, as `attached` refuses weights."""
    subject = learnt["subject"]
    if subject is not None and subject.token is not None:
        width = base.text.token_width
        if len(subject.token) != width:
            raise AdapterError(
                f"the subject's token does not fit the base {base.name}: it has width {len(subject.token)}, "
                f"the base {width}"
            )


def _check_embedding(motion: Adapter | None, looks: list[Look] | None) -> None:
    """Refuse image embeddings that the motion's appearance guidance can't look at."""
    if motion is None or not looks:
        return
    width = next(t.shape[1] for name, t in motion.weights.items() if name.endswith("/condition.weight"))
    found = len(looks[0].embedding)
    if found != width:
        raise AdapterError(
            f"the image embedding for appearance guidance has width {found}, the motion looks at {width}: "
            "give a picture with `appearance`, or adapters of one base"
        )


def _appearances(
    base: Base, learnt: dict[str, Adapter | None], picture: Path | None, seeds: Sequence[int]
) -> list[Look] | None:
    """What guides the motion's appearance for each seed; None where it has no appearance guidance."""
    motion = learnt["motion"]
    if motion is None or not any(key.endswith("/condition.weight") for key in motion.weights):
        if picture is not None:
            raise InputError("`appearance` needs `motion` with a motion that was learnt with appearance guidance")
        return None
    if picture is not None:
        look = Look(base.encode_images([read_image(picture)])[0], {"from": "picture", "sha256": sha256_of(picture)})
        return [look] * len(seeds)
    for kind in ("subject", "motion"):
        adapter = learnt[kind]
        if adapter is not None and adapter.embeddings is not None and len(adapter.embeddings):
            chosen = [_index(seed, len(adapter.embeddings)) for seed in seeds]
            return [Look(adapter.embeddings[i], {"from": kind, "index": i}) for i in chosen]
    raise InputError("neither adapter has a stored image embedding: give a picture with `appearance`")


def _index(seed: int, count: int) -> int:
    digest = hashlib.sha256(f"{seed}/appearance".encode()).digest()
    return int.from_bytes(digest[:4], "little") % count

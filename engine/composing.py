"""Composing: any subject with any motion in one frozen base."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.adapters.forms import restored
from engine.adapters.storage import Adapter, read_adapter
from engine.bases.base import Base
from engine.data.images import read_image, sha256_of
from engine.errors import AdapterError, InputError
from engine.methods.dreamvideo import ComposeConfig
from engine.prompts import PLACEHOLDER, said
from engine.sampling import ddim, guided, offset_noise, schedule
from engine.settings import as_values
from engine.training import generator_at, raise_if_out_of_memory

__all__ = ["ComposeConfig", "Composition", "compose"]


@dataclass(frozen=True)
class Composition:
    """A video, `(F, H, W, 3)` uint8, and the record of how it was made (plain values)."""

    frames: npt.NDArray[np.uint8]
    record: dict[str, Any]


def compose(
    base: Base,
    prompt: str,
    *,
    config: ComposeConfig,
    seed: int,
    subject: Path | None = None,
    motion: Path | None = None,
    appearance: Path | None = None,
    allow_other_base: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Composition:
    """Make one video of `prompt`; `subject` and `motion` are adapters' folders, either or both may be None.

    A `*` in the prompt stands for the subject, and is said as it was while learning. The image embedding of
    appearance guidance comes from the picture `appearance`, else from a stored one of the subject, else of
    the motion, chosen by the seed.
    Raises `AdapterError` for an adapter that is damaged or made for another base, `InputError` for values
    that do not go together, `OutOfMemoryError` when the device is too small.
    """
    learnt = {
        "subject": _read(subject, "subject", base, allow_other_base),
        "motion": _read(motion, "motion", base, allow_other_base),
    }
    _check(prompt, config, base, learnt["subject"])
    _check_widths(base, learnt)
    embedding, source = _appearance(base, learnt, appearance, seed)
    _check_embedding(learnt["motion"], embedding)
    try:
        frames = _sample(base, prompt, config, seed, learnt, embedding, on_step)
    except RuntimeError as error:
        raise_if_out_of_memory(error)
        raise
    record = {
        "made_by": f"dv {version('dreamvideo-cli')}",
        "prompt": prompt,
        "seed": seed,
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "dtype": str(base.dtype).removeprefix("torch."),
        "settings": as_values(config),
        "appearance": source,
    }
    return Composition(frames, record)


@torch.no_grad()
def _sample(
    base: Base,
    prompt: str,
    config: ComposeConfig,
    seed: int,
    learnt: dict[str, Adapter | None],
    embedding: Tensor | None,
    on_step: Callable[[int, int], None] | None,
) -> npt.NDArray[np.uint8]:
    subject = learnt["subject"]
    token = subject.token.to(base.device) if subject is not None and subject.token is not None else None
    branches = 1 if config.guidance_scale == 1 else 2
    prompts = [prompt] if branches == 1 else [config.negative_prompt, prompt]
    if subject is not None:
        prompts = [said(text, subject.word) for text in prompts]
    text = base.encode_text(prompts, token)
    width, height = config.size
    shape = (1, base.latent_channels, config.frames, height // base.latent_scale, width // base.latent_scale)
    generator = generator_at(seed, 0, "sampling")
    start = offset_noise(shape, config.offset_noise, generator).to(base.device)
    timesteps, final_alpha = schedule(base.scheduler_config, config.steps)

    def denoise(sample: Tensor, timestep: int) -> Tensor:
        return base.predict(sample, torch.full((sample.shape[0],), timestep), text)

    with _attached(base, config, learnt, embedding, branches):
        latents = ddim(
            guided(denoise, config.guidance_scale), start, timesteps, base.objective,
            final_alpha=final_alpha, eta=config.eta, generator=generator, callback=on_step,
        )  # fmt: skip
    pictures = base.decode_latents(latents[0].transpose(0, 1))
    pixels = ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    return pixels.numpy()


@contextmanager
def _attached(
    base: Base,
    config: ComposeConfig,
    learnt: dict[str, Adapter | None],
    embedding: Tensor | None,
    branches: int,
) -> Iterator[None]:
    """Attach what was learnt, at its strength, motion under appearance guidance."""
    strengths = {"subject": config.subject_strength, "motion": config.motion_strength}
    weights = {}
    for kind, adapter in learnt.items():
        if adapter is not None:
            weights[kind] = restored(adapter.form, adapter.weights).to(base.device)
            weights[kind].strength = strengths[kind]
    if embedding is not None:
        conditional = embedding.to(base.device)[None]
        lambdas = torch.tensor([config.unconditional_appearance_strength, config.appearance_strength])
        # The unconditional branch looks at a zero embedding.
        seen = torch.cat([torch.zeros_like(conditional), conditional])[-branches:]
        weights["motion"].condition(seen, lambdas[-branches:].to(base.device))
    with ExitStack() as attached:
        attached.enter_context(base.autocast())
        for each in weights.values():
            attached.enter_context(each.attached(base))
        yield


def _read(folder: Path | None, kind: str, base: Base, allow_other_base: bool) -> Adapter | None:
    if folder is None:
        return None
    adapter = read_adapter(folder)
    if adapter.kind != kind:
        raise AdapterError(f"{folder.name} is a {adapter.kind}, not a {kind}")
    if adapter.base_fingerprint != base.fingerprint and not allow_other_base:
        raise AdapterError(
            f"the {kind} was learnt on the base {adapter.base_fingerprint[:12]}, this is {base.name} "
            f"({base.fingerprint[:12]}): learn it again here, choose its base with --base, or insist with "
            "--allow-other-base"
        )
    return adapter


def _check(prompt: str, config: ComposeConfig, base: Base, subject: Adapter | None) -> None:
    placed = prompt if subject is None else said(prompt, subject.word)
    if PLACEHOLDER in placed and (subject is None or subject.token is None):
        raise InputError(f'the prompt "{prompt}" has a * and nothing that was learnt stands for it')
    if any(side % base.size_multiple for side in config.size):
        raise InputError(
            f"--size {config.size[0]}x{config.size[1]} does not fit the base {base.name}: width and height "
            f"must be multiples of {base.size_multiple}"
        )


def _check_widths(base: Base, learnt: dict[str, Adapter | None]) -> None:
    """Refuse a token that this base's text encoder has no room for, as `attached` refuses weights."""
    subject = learnt["subject"]
    if subject is not None and subject.token is not None:
        width = base.text_encoder.get_input_embeddings().embedding_dim
        if len(subject.token) != width:
            raise AdapterError(
                f"the subject's token does not fit the base {base.name}: it has width {len(subject.token)}, "
                f"the base {width}"
            )


def _check_embedding(motion: Adapter | None, embedding: Tensor | None) -> None:
    """Refuse an image embedding that the motion's appearance guidance can't look at."""
    if motion is None or embedding is None:
        return
    width = next(t.shape[1] for name, t in motion.weights.items() if name.endswith("/condition.weight"))
    if len(embedding) != width:
        raise AdapterError(
            f"the image embedding for appearance guidance has width {len(embedding)}, the motion looks at {width}: "
            "give a picture with --appearance, or adapters of one base"
        )


def _appearance(
    base: Base, learnt: dict[str, Adapter | None], picture: Path | None, seed: int
) -> tuple[Tensor | None, dict[str, Any] | None]:
    """The image embedding `(C',)` that guides the motion's appearance, and what the record says of it."""
    motion = learnt["motion"]
    if motion is None or not any(key.endswith("/condition.weight") for key in motion.weights):
        if picture is not None:
            raise InputError("--appearance needs --motion with a motion that was learnt with appearance guidance")
        return None, None
    if picture is not None:
        return base.encode_images([read_image(picture)])[0], {"from": "picture", "sha256": sha256_of(picture)}
    for kind in ("subject", "motion"):
        adapter = learnt[kind]
        if adapter is not None and adapter.embeddings is not None and len(adapter.embeddings):
            digest = hashlib.sha256(f"{seed}/appearance".encode()).digest()
            index = int.from_bytes(digest[:4], "little") % len(adapter.embeddings)
            return adapter.embeddings[index], {"from": kind, "index": index}
    raise InputError("neither adapter has a stored image embedding: give a picture with --appearance IMAGE")

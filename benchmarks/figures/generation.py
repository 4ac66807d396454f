"""Generating several clips at once, each as `compose` makes it alone from the same seed."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.storage import Adapter, read_adapter
from engine.bases.base import Base
from engine.methods.dreamvideo import ComposeConfig
from engine.sampling import ddim, guided, offset_noise, schedule
from engine.training import generator_at
from figures.material import Frames, Request


@dataclass(frozen=True)
class Learnt:
    """The adapters' folders that a clip is generated with; None is the bare base."""

    subject: Path | None = None
    motion: Path | None = None


@torch.no_grad()
def generate(base: Base, requests: list[Request], config: ComposeConfig, learnt: Learnt) -> Frames:
    """Clips `(N, F, H, W, 3)` uint8 of one batch of requests."""
    subject = read_adapter(learnt.subject) if learnt.subject else None
    motion = read_adapter(learnt.motion) if learnt.motion else None
    count, branches = len(requests), 1 if config.guidance_scale == 1 else 2
    token = subject.token.to(base.device) if subject is not None and subject.token is not None else None
    prompts = [config.negative_prompt] * (count if branches == 2 else 0) + [r.prompt for r in requests]
    text = base.encode_text(prompts, token)
    width, height = config.size
    shape = (1, base.latent_channels, config.frames, height // base.latent_scale, width // base.latent_scale)
    noise = [offset_noise(shape, config.offset_noise, generator_at(r.seed, 0, "sampling")) for r in requests]
    timesteps, final_alpha = schedule(base.scheduler_config, config.steps)

    def denoise(sample: Tensor, timestep: int) -> Tensor:
        return base.predict(sample, torch.full((sample.shape[0],), timestep), text)

    with ExitStack() as stack:
        stack.enter_context(base.autocast())
        if subject is not None:
            identity = AdapterSet.from_state(subject.weights).to(base.device)
            identity.strength = config.subject_strength
            stack.enter_context(identity.attached(base))
        if motion is not None:
            moving = AdapterSet.from_state(motion.weights).to(base.device)
            moving.strength = config.motion_strength
            _look(moving, base, requests, config, motion, subject, branches)
            stack.enter_context(moving.attached(base))
        latents = ddim(
            guided(denoise, config.guidance_scale), torch.cat(noise).to(base.device), timesteps, base.objective,
            final_alpha=final_alpha,
        )  # fmt: skip
    pictures = base.decode_latents(latents.transpose(1, 2).flatten(0, 1))
    pixels = ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    frames: Frames = pixels.view(count, config.frames, height, width, 3).numpy()
    return frames


def _look(
    moving: AdapterSet,
    base: Base,
    requests: list[Request],
    config: ComposeConfig,
    motion: Adapter,
    subject: Adapter | None,
    branches: int,
) -> None:
    """Set appearance guidance, each request looking at the stored embedding that `compose` would choose for it."""
    if not any(key.endswith("/condition.weight") for key in motion.weights):
        return
    stored = subject.embeddings if subject is not None and subject.embeddings is not None else motion.embeddings
    if stored is None:
        raise ValueError("neither adapter has a stored image embedding")
    digests = [hashlib.sha256(f"{r.seed}/appearance".encode()).digest() for r in requests]
    chosen = stored[torch.tensor([int.from_bytes(d[:4], "little") % len(stored) for d in digests])].to(base.device)
    count = len(requests)
    unconditional = torch.full((count,), config.unconditional_appearance_strength)
    conditional = torch.full((count,), config.appearance_strength)
    if branches == 1:
        moving.condition(chosen, conditional.to(base.device))
        return
    seen = torch.cat([torch.zeros_like(chosen), chosen])
    moving.condition(seen, torch.cat([unconditional, conditional]).to(base.device))

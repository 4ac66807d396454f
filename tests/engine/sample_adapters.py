"""Adapters of random weights for the base in miniature, and compositions with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
from engine.adapters.storage import AdapterFiles
from engine.bases.base import Base
from engine.composing import AppliedAdapter, ComposeConfig, Composition, compose
from engine.methods.common import Kind

CONFIG = ComposeConfig(steps=2, frames=3, size=(16, 16), guidance_scale=3.0)


def filled(adapters: AdapterSet, seed: int) -> AdapterSet:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapters.parameters().values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return adapters


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def subject_of(base: Base) -> AdapterFiles:
    adapters = filled(AdapterSet.create(identity_sites(base.sites), 0.5, condition_width=None, seed=0), 1)
    return AdapterFiles(
        "subject", "dreamvideo", base.fingerprint, adapters.state(), adapters.widths, random(3, 32), random(4, 5, 24)
    )


def motion_of(base: Base, condition_width: int | None = 24) -> AdapterFiles:
    adapters = filled(AdapterSet.create(motion_sites(base.sites), 0.5, condition_width=condition_width, seed=0), 2)
    embeddings = random(5, 6, 24) if condition_width else None
    return AdapterFiles("motion", "dreamvideo", base.fingerprint, adapters.state(), adapters.widths, None, embeddings)


def applied(subject: Path | None = None, motion: Path | None = None) -> list[AppliedAdapter]:
    folders: dict[Kind, Path | None] = {"subject": subject, "motion": motion}
    return [AppliedAdapter(folder, role) for role, folder in folders.items() if folder is not None]


def made(
    base: Base,
    prompt: str = "a dog",
    *,
    seed: int = 0,
    config: ComposeConfig = CONFIG,
    subject: Path | None = None,
    motion: Path | None = None,
    **more: Any,
) -> Composition:
    return compose(base, prompt, config=config, seed=seed, adapters=applied(subject, motion), **more)


def same(a: Composition, b: Composition) -> bool:
    return bool(np.array_equal(a.frames, b.frames))

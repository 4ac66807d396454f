"""Dropout in a frozen base while something is learnt beside it (arXiv 1207.0580), reproducible step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def dropping(layers: Iterable[nn.Dropout], share: float) -> Iterator[None]:
    """Dropout layers drop a `share` of their activations inside the context, and are as they were after it."""
    before = [(layer, layer.p, layer.training) for layer in layers]
    for layer, _, _ in before:
        layer.p = share
        layer.train()
    try:
        yield
    finally:
        for layer, share_before, training in before:
            layer.p = share_before
            layer.train(training)


@contextmanager
def seeded(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """What layers draw by themselves comes from the generator's seed inside the context, and is as it was after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator.initial_seed())
        yield

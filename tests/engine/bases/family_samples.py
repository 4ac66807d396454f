"""What tests of every family ask about: sizes, inputs, a prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bases.base import Base
from engine.bases.family import Conditioning

SIZE, FRAMES = (16, 16), 5


def inputs(base: Base, frames: int = FRAMES) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn((2, *base.layout.shape(frames, SIZE)), generator=generator)
    return noisy, torch.tensor([20, 620]), base.text.encode(["a dog runs", "a cat"])


@torch.no_grad()
def predicted(base: Base) -> Tensor:
    return base.predict(*inputs(base))

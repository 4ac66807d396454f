"""Everything that frozen encoders say of the data, worked out once before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.bases.base import Base
from engine.data.clips import read_clip
from engine.data.images import fit, fit_mask, read_image, read_mask, shifted

_SHIFTED_VIEWS = 16
"""Views of each training image that are shifted by chance."""


@dataclass(frozen=True)
class Latents:
    """Scaled latents of N pictures or frames, mean and standard deviation `(N, C, h, w)` each.

    Both are kept, so that sampling the autoencoder at each step stays honest.
    """

    mean: Tensor
    std: Tensor

    def sample(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the latents of `indices` `(K,)`: `(K, C, h, w)`."""
        noise = torch.randn((len(indices), *self.mean.shape[1:]), generator=generator)
        return self.mean[indices] + self.std[indices] * noise


@dataclass(frozen=True)
class EncodedImages:
    """Training images: latents of N views, loss masks `(N, 1, h, w)` at latent resolution, and image embeddings
    `(K, C')` of the K images themselves."""

    latents: Latents
    masks: Tensor | None
    embeddings: Tensor | None


@dataclass(frozen=True)
class EncodedClip:
    """A training clip, all its frames: latents `(N, ...)`, image embeddings `(N, C')`, frame rate, prompt."""

    latents: Latents
    embeddings: Tensor | None
    fps: float
    prompt: str


def to_pixels(frames: np.ndarray) -> Tensor:
    """Frames `(N, H, W, 3)` uint8 to `(N, 3, H, W)` in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_images(
    base: Base,
    images: Sequence[Path],
    masks: Sequence[Path],
    size: tuple[int, int],
    *,
    shift: float = 0.0,
    generator: torch.Generator | None = None,
) -> EncodedImages:
    """Read, fit and encode images, and their masks where there are any (one an image, or none at all).

    With `shift`, 16 views more of each, moved by up to that share of its sides, what comes in being a reflection.
    """
    originals = [read_image(path) for path in images]
    pictures = [fit(pixels, size) for pixels in originals]
    scale = base.latent_scale
    offsets = _offsets(len(pictures), (size[0] // scale, size[1] // scale), shift, generator)
    views = [shifted(pictures[k], x * scale, y * scale) for k, x, y in offsets]
    mean, std = base.encode_latents(to_pixels(np.stack(views)))
    fitted = None
    if masks:
        small = (mean.shape[-1], mean.shape[-2])
        sizes = [(pixels.shape[1], pixels.shape[0]) for pixels in originals]
        whole = [fit_mask(read_mask(path, seen), small) for path, seen in zip(masks, sizes, strict=True)]
        fitted = torch.stack([torch.from_numpy(shifted(whole[k], x, y))[None].float() for k, x, y in offsets])
    embeddings = base.encode_images(pictures) if base.image_encoder is not None else None
    return EncodedImages(Latents(mean, std), fitted, embeddings)


def _offsets(
    images: int, sides: tuple[int, int], shift: float, generator: torch.Generator | None
) -> list[tuple[int, int, int]]:
    """Which image each view is of, and how far it is moved to the right and down, in pixels of the latents."""
    offsets = [(k, 0, 0) for k in range(images)]
    reach = [int(shift * side) for side in sides]
    if any(reach):
        for k in range(images):
            for _ in range(_SHIFTED_VIEWS):
                x, y = (int(torch.randint(-r, r + 1, (), generator=generator)) for r in reach)
                offsets.append((k, x, y))
    return offsets


def encode_clip(
    base: Base,
    path: Path,
    *,
    prompt: str,
    fps: float,
    size: tuple[int, int],
    start: float,
    end: float | None,
    source_fps: float | None,
    appearance: bool,
) -> EncodedClip:
    """Decode and encode a clip, all frames that a window may hold."""
    frames = read_clip(path, start=start, end=end, source_fps=source_fps, size=size)
    mean, std = base.encode_latents(to_pixels(frames))
    embeddings = base.encode_images(list(frames)) if appearance else None
    return EncodedClip(Latents(mean, std), embeddings, fps, prompt)

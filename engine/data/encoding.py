"""Everything that frozen encoders say of the data, worked out once before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.bases.base import Base
from engine.data.clips import read_clip
from engine.data.images import fit, fit_mask, read_image, read_mask

Told = Callable[[int, int], None]


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
    """Training images: latents, loss masks `(N, 1, h, w)` at latent resolution, image embeddings `(N, C')`."""

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
    base: Base, images: Sequence[Path], masks: Sequence[Path], size: tuple[int, int], told: Told | None = None
) -> EncodedImages:
    """Read, fit and encode images, and their masks where there are any (one an image, or none at all)."""
    originals = [read_image(path) for path in images]
    pictures = [fit(pixels, size) for pixels in originals]
    mean, std = base.encode_latents(to_pixels(np.stack(pictures)))
    fitted = None
    if masks:
        small = (mean.shape[-1], mean.shape[-2])
        sizes = [(pixels.shape[1], pixels.shape[0]) for pixels in originals]
        fitted = torch.stack(
            [
                torch.from_numpy(fit_mask(read_mask(path, whole), small))[None].float()
                for path, whole in zip(masks, sizes, strict=True)
            ]
        )
    embeddings = base.encode_images(pictures) if base.image_encoder is not None else None
    if told is not None:
        told(len(images), len(images))
    return EncodedImages(Latents(mean, std), fitted, embeddings)


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

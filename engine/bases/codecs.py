"""What families' codecs have in common: the normalisation of latents, and the autoencoders of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from engine.bases.family import Compute

_MOST_PICTURES, _MOST_PIXELS = 8, 8 * 256 * 256
"""What goes through an autoencoder of pictures at a time: an 8 GB card has room for it."""


def pictures_at_once(size: tuple[int, int]) -> int:
    """How many pictures of a (width, height) go through an autoencoder at a time."""
    return max(1, min(_MOST_PICTURES, _MOST_PIXELS // (size[0] * size[1])))


@dataclass(frozen=True)
class Normalisation:
    """Latents as the denoiser knows them: `(latents - mean) * factor`, one for all channels or one a channel."""

    mean: Tensor
    factor: Tensor

    @classmethod
    def by_factor(cls, factor: float) -> Normalisation:
        """One factor for all (Stable Diffusion's autoencoder)."""
        return cls(torch.zeros(1), torch.tensor([factor]))

    @classmethod
    def by_channel(cls, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
        """To zero mean and unit variance in every channel."""
        return cls(torch.tensor(mean), 1 / torch.tensor(std))

    def applied(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `(B, C, ...)` of an autoencoder's latents, normalised."""
        offset, factor = self._beside(mean)
        return (mean - offset) * factor, std * factor

    def undone(self, latents: Tensor) -> Tensor:
        """Normalised latents `(B, C, ...)` as the autoencoder knows them."""
        offset, factor = self._beside(latents)
        return latents / factor + offset

    def _beside(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, -1, *[1] * (latents.ndim - 2))
        return self.mean.view(shape).to(latents.device), self.factor.view(shape).to(latents.device)


class FrameEncoder(nn.Module):
    """An autoencoder of pictures as it encodes the frames of windows `(B, 3, F, H, W)`, all at once: for counting."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, windows: Tensor) -> Tensor:
        mean: Tensor = self.vae.encode(windows.transpose(1, 2).flatten(0, 1)).latent_dist.mean
        return mean


class PictureCodec:
    """An autoencoder of pictures: every frame by itself."""

    def __init__(self, vae: AutoencoderKL, compute: Compute) -> None:
        self._vae: AutoencoderKL | None = vae
        self._scale = 2 ** (len(vae.config.block_out_channels) - 1)
        self._compute = compute
        self._normalisation = Normalisation.by_factor(float(vae.config.scaling_factor))

    @torch.no_grad()
    def encode(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        means, stds = [], []
        height, width = windows.shape[-2:]
        for part in windows.transpose(1, 2).flatten(0, 1).split(pictures_at_once((width, height))):
            with self._compute.autocast():
                posterior = self.vae.encode(part.to(self._compute.device, self._compute.dtype)).latent_dist
            mean, std = self._normalisation.applied(posterior.mean.float().cpu(), posterior.std.float().cpu())
            means.append(mean)
            stds.append(std)
        frames = windows.shape[2]
        mean, std = (torch.cat(parts).unflatten(0, (-1, frames)).transpose(1, 2) for parts in (means, stds))
        return mean, std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        pictures = []
        height, width = (side * self._scale for side in latents.shape[-2:])
        for part in latents.transpose(1, 2).flatten(0, 1).split(pictures_at_once((width, height))):
            known = self._normalisation.undone(part.to(self._compute.device)).to(self._compute.dtype)
            with self._compute.autocast():
                pictures.append(self.vae.decode(known).sample.float().cpu())
        decoded: Tensor = torch.cat(pictures).unflatten(0, (-1, latents.shape[2])).transpose(1, 2)
        return decoded

    def release(self) -> None:
        self._vae = None

    @property
    def vae(self) -> AutoencoderKL:
        if self._vae is None:
            raise RuntimeError("the codec has been released")
        return self._vae

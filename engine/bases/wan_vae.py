"""Wan's autoencoder: causal, so that a window is encoded as a whole."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn

from engine.bases.codecs import Normalisation
from engine.bases.family import Compute, Layout
from engine.errors import InputError

_FRAMES_AT_ONCE = 8
"""Frames of short windows, such as photographs, that go through the autoencoder together."""


class WindowEncoder(nn.Module):
    """The autoencoder as it encodes windows `(B, 3, F, H, W)`: for counting."""

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, windows: Tensor) -> Tensor:
        mean: Tensor = self.vae.encode(windows).latent_dist.mean
        return mean


class WanCodec:
    """Windows to latents and back, in float32: Wan's autoencoder loses detail in half precision."""

    def __init__(self, vae: AutoencoderKLWan, layout: Layout, compute: Compute) -> None:
        self._vae: AutoencoderKLWan | None = vae
        self._layout, self._device = layout, compute.device
        self._normalisation = Normalisation.by_channel(vae.config.latents_mean, vae.config.latents_std)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        frames = windows.shape[2]
        if not self._layout.fits(frames):  # The autoencoder itself leaves out the last ones without a word.
            raise InputError(f"`frames` is {frames}: {self._layout.frames_told(frames)}")
        means, stds = [], []
        for part in windows.split(max(1, _FRAMES_AT_ONCE // frames)):
            posterior = self.vae.encode(part.to(self._device, torch.float32)).latent_dist
            mean, std = self._normalisation.applied(posterior.mean.cpu(), posterior.std.cpu())
            means.append(mean)
            stds.append(std)
        return torch.cat(means), torch.cat(stds)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        known = self._normalisation.undone(latents.to(self._device, torch.float32))
        return torch.cat([self.vae.decode(one).sample.cpu() for one in known.split(1)])

    def release(self) -> None:
        self._vae = None

    @property
    def vae(self) -> AutoencoderKLWan:
        if self._vae is None:
            raise RuntimeError("the codec has been released")
        return self._vae

"""A loaded base: its info and its family's parts on a device, frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engine.bases.family import Codec, Compute, Conditioning, Family, Label, Layout, Site, Text
from engine.bases.image_encoder import ImageEncoder
from engine.bases.location import BaseInfo
from engine.errors import InputError


class Objective:
    """The base's noise schedule and what it predicts; from its scheduler's config.

    `alphas_cumprod` is `(T,)`. Formulas: DDPM (arXiv 2006.11239), v-prediction (arXiv 2202.00512).
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str) -> None:
        if prediction_type not in ("epsilon", "v_prediction"):
            raise InputError(f"the base predicts {prediction_type!r}; known are epsilon and v_prediction")
        self.alphas_cumprod, self.prediction_type = alphas_cumprod.float(), prediction_type

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Diffuse `clean` `(B, ...)` to `timesteps` `(B,)`."""
        signal, spread = self._scales(timesteps, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the base should predict."""
        if self.prediction_type == "epsilon":
            return noise
        signal, spread = self._scales(timesteps, clean)
        return signal * noise - spread * clean

    def split(self, noisy: Tensor, prediction: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The clean sample and the noise that a prediction stands for."""
        signal, spread = self._scales(timesteps, noisy)
        if self.prediction_type == "epsilon":
            return (noisy - spread * prediction) / signal, prediction
        return signal * noisy - spread * prediction, signal * prediction + spread * noisy

    def _scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.alphas_cumprod[timesteps.cpu()].to(like.device, torch.float32)
        kept = kept.view(-1, *[1] * (like.ndim - 1))
        return kept.sqrt(), (1 - kept).sqrt()


@dataclass
class Base:
    """A frozen base. Codec, text and image encoder may be released once everything is encoded."""

    info: BaseInfo
    fingerprint: str
    family: Family
    compute: Compute
    denoiser: nn.Module
    codec: Codec
    text: Text
    image_encoder: ImageEncoder | None
    objective: Objective
    scheduler_config: Mapping[str, object]
    sites: list[Site]
    labels: dict[str, Label]

    @property
    def name(self) -> str:
        return self.info.location.name

    @property
    def device(self) -> torch.device:
        return self.compute.device

    @property
    def dtype(self) -> torch.dtype:
        return self.compute.dtype

    @property
    def layout(self) -> Layout:
        """How windows of frames lie in latents."""
        return self.info.layout

    def predict(self, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """The base's prediction in float32: latents `(B, C, f, h, w)`, timesteps `(B,)`, text of B prompts."""
        with self.compute.autocast():
            prediction = self.family.predict(
                self.denoiser, noisy.to(self.dtype), timesteps.to(self.device), text.to(self.device, self.dtype)
            )
        return prediction.float()

    def encode_images(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """Image embeddings `(N, D)` of pictures `(H, W, 3)`, on the CPU.

        Raises `InputError` where the base has no image encoder.
        """
        if self.image_encoder is None:
            raise InputError(
                f"the base {self.name} has no image encoder, which appearance guidance needs: add the base "
                "again with --image-encoder, or learn with --no-appearance-guidance"
            )
        return self.image_encoder.encode(pictures)

    def release_encoders(self, *, keep_text: bool = False) -> None:
        """Let the encoders leave the memory; the base can only predict from then on."""
        self.image_encoder = None
        self.codec.release()
        if not keep_text:
            self.text.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

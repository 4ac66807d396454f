"""A loaded base: its info and its family's parts on a device, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engine.bases.family import Codec, Compute, Conditioning, Family, Label, Layout, Site, Text
from engine.bases.image_encoder import ImageEncoder
from engine.bases.location import BaseInfo
from engine.bases.objectives import Objective
from engine.errors import InputError
from engine.freeing import give_back


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
    def precision(self) -> str:
        """How the denoiser's weights are stored, as records have it: `float32`, `bfloat16`, ..."""
        return self.compute.precision

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
                "again with `image_encoder`, or learn with `appearance_guidance=False`"
            )
        return self.image_encoder.encode(pictures)

    def shared(self) -> Base:
        """The same base for somebody who lets encoders go: this one keeps them."""
        return replace(self, codec=copy(self.codec), text=copy(self.text))

    def release_encoders(self, *, keep_text: bool = False) -> None:
        """Let the encoders leave the memory; the base can only predict from then on."""
        self.image_encoder = None
        self.codec.release()
        if not keep_text:
            self.text.release()
        give_back(self.device)

"""The family of `UNet3DConditionModel`: ModelScope, Zeroscope, and the embedded base.

Frames go through the autoencoder one by one; spatial and temporal layers are apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.bases.family import (
    Compute,
    Conditioning,
    Config,
    Facts,
    Loaded,
    Parts,
    ReadPart,
    Recommended,
)
from engine.bases.unets import (
    BLOCK,
    IMAGE_RULES,
    TRANSFORMER,
    FrameByFrameUNet,
    Rules,
    image_latents_facts,
    recomputed,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from engine.bases.location import BaseInfo

_RULES: Rules = (
    (rf"transformer_in\.{TRANSFORMER}", "temporal"),
    (rf"{BLOCK}\.temp_attentions\.\d+\.{TRANSFORMER}", "temporal"),
    (rf"{BLOCK}\.temp_convs\.\d+\.conv[1-4]\.", "temporal"),
    *IMAGE_RULES,
)


class UNet3D(FrameByFrameUNet):
    """See `engine.bases.family.Family` for what each method answers."""

    name = "unet3d"
    rules = _RULES
    parts = Parts(
        denoiser="unet",
        folders=("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
        weights=("unet", "text_encoder", "vae"),
    )
    has_dropout = True
    recommended: Recommended = MappingProxyType({})

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        return image_latents_facts(configs, text_width=1024, sample_size=32)

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        from diffusers import UNet3DConditionModel

        from engine.bases.single_frames import shorten_for_single_frames

        return self.loaded(shorten_for_single_frames(read(UNet3DConditionModel, "unet")), {}, info, read, compute)

    def skeleton(self, info: BaseInfo) -> nn.Module:
        import torch
        from diffusers import UNet3DConditionModel

        from engine.bases.single_frames import shorten_for_single_frames

        with torch.device("meta"):
            model: nn.Module = UNet3DConditionModel.from_config(UNet3DConditionModel.load_config(info.places["unet"]))
        return shorten_for_single_frames(model.eval().requires_grad_(False))

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        prediction: Tensor = denoiser(noisy, timesteps, text.embeddings).sample
        return prediction

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        """Those of the temporal convolutions, which the authors' code has active while it learns."""
        from torch import nn

        names = re.compile(rf"{BLOCK}\.temp_convs\.")
        return [m for name, m in denoiser.named_modules() if isinstance(m, nn.Dropout) and names.match(name)]

    @contextmanager
    def checkpointed(self, denoiser: nn.Module) -> Iterator[None]:
        """At resnets, convolutions and transformers: diffusers' own checkpointing isn't for this class."""
        from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
        from diffusers.models.transformers.transformer_2d import Transformer2DModel
        from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel

        kinds = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel)
        with recomputed(m for m in denoiser.modules() if isinstance(m, kinds)):
            yield


UNET3D = UNet3D()

"""The family of Stable Diffusion 1 and 2 without a motion module: an image model, inflated over time as Tune-A-Video
does (arXiv 2212.11565).

Its layers see the frames as a batch of pictures, but self-attention looks at the first and the previous frame, and new
attention over frames stands at the end of every transformer block. That adds nothing until it is trained, so a frame
alone is the image model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.bases.family import Compute, Conditioning, Config, Facts, Loaded, Parts, ReadPart, Recommended
from engine.bases.unets import (
    BLOCK,
    IMAGE_RULES,
    FrameByFrameUNet,
    Rules,
    check_image_model,
    image_latents_facts,
    recomputed,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from engine.bases.location import BaseInfo

_OVER_FRAMES = rf"{BLOCK}\.attentions\.\d+\.transformer_blocks\.\d+\.(attn_temp|norm_temp)(\.|$)"


class StableDiffusion(FrameByFrameUNet):
    """See `engine.bases.family.Family` for what each method answers."""

    name = "stable_diffusion"
    rules: Rules = ((_OVER_FRAMES, "temporal"), *IMAGE_RULES)
    parts = Parts(
        denoiser="unet",
        folders=("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
        weights=("unet", "text_encoder", "vae"),
    )
    has_dropout = False
    # Guidance and noise are those of Tune-A-Video's authors.
    recommended: Recommended = MappingProxyType({"compose": {"guidance_scale": 12.5, "offset_noise": 0.0}})

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        """Raises `BaseError` for a model that takes more than text."""
        check_image_model(configs)
        return image_latents_facts(configs, text_width=1280, sample_size=64)

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        from diffusers import UNet2DConditionModel

        from engine.bases.inflated_blocks import inflate

        return self.loaded(inflate(read(UNet2DConditionModel, "unet")), {}, info, read, compute)

    def skeleton(self, info: BaseInfo) -> nn.Module:
        import torch
        from diffusers import UNet2DConditionModel

        from engine.bases.inflated_blocks import inflate

        with torch.device("meta"):
            model = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(info.places["unet"]))
            inflated: nn.Module = inflate(model)
        return inflated.eval().requires_grad_(False)

    def stored_in(self, name: str) -> str | None:
        return None if re.match(_OVER_FRAMES, name) else "unet"

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        frames = noisy.shape[2]
        pictures = denoiser(
            noisy.transpose(1, 2).flatten(0, 1),
            timesteps.repeat_interleave(frames),
            text.embeddings.repeat_interleave(frames, dim=0),
            cross_attention_kwargs={"frames": frames},
        ).sample
        video: Tensor = pictures.unflatten(0, (-1, frames)).transpose(1, 2)
        return video

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        return []

    @contextmanager
    def checkpointed(self, denoiser: nn.Module) -> Iterator[None]:
        """At resnets and transformers."""
        from diffusers.models.resnet import ResnetBlock2D
        from diffusers.models.transformers.transformer_2d import Transformer2DModel

        with recomputed(m for m in denoiser.modules() if isinstance(m, ResnetBlock2D | Transformer2DModel)):
            yield


STABLE_DIFFUSION = StableDiffusion()

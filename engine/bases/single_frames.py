"""What a UNet's layers over frames do to a single frame, in a part of the work.

Photographs are videos of one frame. A temporal convolution sees padding before and after that frame, so only its middle
tap counts; attention over one frame looks at that frame alone, so it is its value and output projections.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn


class ConvOverFrames(nn.Conv3d):
    """A convolution of kernel `(3, 1, 1)` that keeps the number of frames."""

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, F, h, w)` to `(B, C', F, h, w)`."""
        if input.shape[2] > 1:
            return super().forward(input)
        return F.conv2d(input.squeeze(2), self.weight[:, :, 1], self.bias).unsqueeze(2)


class AttentionOverFrames(AttnProcessor2_0):
    """diffusers' own attention; of a sequence `(B, 1, C)` the value and its projection."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        *arguments: Any,
        **options: Any,
    ) -> Tensor:
        if hidden_states.shape[1] > 1 or encoder_hidden_states is not None:
            several: Tensor = super().__call__(attn, hidden_states, encoder_hidden_states, *arguments, **options)
            return several
        projection, dropout = attn.to_out
        alone: Tensor = dropout(projection(attn.to_v(hidden_states)))
        return alone


def shorten_for_single_frames(denoiser: nn.Module) -> nn.Module:
    """Let the temporal layers of a `UNet3DConditionModel` take the short way where there is one frame; give it back."""
    shorten_convolutions(denoiser)
    for module in denoiser.modules():
        if isinstance(module, TransformerTemporalModel):
            for layer in module.modules():
                if isinstance(layer, Attention):
                    layer.set_processor(AttentionOverFrames())
    return denoiser


def shorten_convolutions(denoiser: nn.Module) -> None:
    """Let temporal convolutions alone take the short way."""
    for module in denoiser.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 1, 1):
            module.__class__ = ConvOverFrames  # of the same parameters, and of no others

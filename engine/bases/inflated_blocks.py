"""An image model's transformer blocks, inflated over time as Tune-A-Video does (arXiv 2212.11565, section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from engine.errors import BaseError

_SEED = 0
"""Of the queries, keys and values of the new attention: an adapter holds its change of them, so it never changes."""


class InflatedBlock(BasicTransformerBlock):
    """A block whose self-attention looks at the first and the previous frame, with attention over frames at its end."""

    norm_temp: nn.LayerNorm
    attn_temp: Attention

    def forward(
        self, hidden_states: Tensor, *, encoder_hidden_states: Tensor, cross_attention_kwargs: dict[str, int], **_: Any
    ) -> Tensor:
        """State `(B*f, T, C)` and text `(B*f, L, D)` of each sample's frames; `cross_attention_kwargs` say how many
        `frames` f a sample has: they are what the library hands on to its blocks."""
        frames, state = cross_attention_kwargs["frames"], hidden_states
        normed = self.norm1(state)
        state = state + self.attn1(normed, encoder_hidden_states=first_and_previous(normed, frames))
        state = state + self.attn2(self.norm2(state), encoder_hidden_states=encoder_hidden_states)
        state = state + self.ff(self.norm3(state))
        over_frames = _swapped(state, frames)
        over_frames = over_frames + self.attn_temp(self.norm_temp(over_frames))
        return _swapped(over_frames, state.shape[1])


def first_and_previous(state: Tensor, frames: int) -> Tensor:
    """What the self-attention of each frame looks at (sparse-causal attention, equation 4): of states `(B*f, T, C)`
    those of the first and of the previous frame, `(B*f, 2T, C)`; the first frame's previous one is itself."""
    video = state.unflatten(0, (-1, frames))
    previous = torch.cat([video[:, :1], video[:, :-1]], dim=1)
    return torch.cat([video[:, :1].expand_as(video), previous], dim=2).flatten(0, 1)


def inflate(model: UNet2DConditionModel) -> UNet2DConditionModel:
    """The same model with inflated blocks, which adds nothing yet: the outputs of attention over frames are zero.

    Raises `BaseError` for blocks of another kind than Stable Diffusion's.
    """
    blocks = [module for module in model.modules() if isinstance(module, BasicTransformerBlock)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        for block in blocks:
            if block.norm_type != "layer_norm" or block.only_cross_attention or block.attn2 is None:
                raise BaseError("the image model has transformer blocks that aren't Stable Diffusion's")
            block.norm_temp, block.attn_temp = _over_frames(block)
            block.__class__ = InflatedBlock
    return model


def _over_frames(block: BasicTransformerBlock) -> tuple[nn.LayerNorm, Attention]:
    like = block.attn1.to_q.weight
    attention = Attention(
        query_dim=block.attn1.query_dim, heads=block.attn1.heads, dim_head=block.attn1.inner_dim // block.attn1.heads
    )
    nn.init.zeros_(attention.to_out[0].weight)
    nn.init.zeros_(attention.to_out[0].bias)
    norm = nn.LayerNorm(block.attn1.query_dim)
    for module in (norm, attention):
        module.to(like.device, like.dtype).train(block.training).requires_grad_(like.requires_grad)
    return norm, attention


def _swapped(state: Tensor, inner: int) -> Tensor:
    """`(B*n, inner', C)` of n = `inner` to `(B*inner', n, C)`: frames by places to places by frames, and back."""
    swapped: Tensor = state.unflatten(0, (-1, inner)).transpose(1, 2).flatten(0, 1)
    return swapped

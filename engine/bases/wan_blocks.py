"""Wan's blocks with places where an adapter's output can be added to what a block goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers import WanTransformer3DModel
from diffusers.hooks import FirstBlockCacheConfig
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from torch import Tensor, nn


class OpenBlock(WanTransformerBlock):
    """A block of Wan's that computes the same, and lets its sums pass through two modules that do nothing.

    A block weighs what self-attention and feed-forward add by gates of the time of denoising. An adapter's output is
    added beside the gated one, at `after_attn1` and `after_ffn`: it isn't gated.
    """

    after_attn1: nn.Identity
    after_ffn: nn.Identity

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, temb: Tensor, rotary_emb: Any) -> Tensor:
        """State `(N, T, C)`, text `(N, L, C)`, the time's modulation `(N, 6, C)`. Sums are made in float32."""
        dtype = hidden_states.dtype
        shift1, scale1, gate1, shift3, scale3, gate3 = (self.scale_shift_table + temb.float()).chunk(6, dim=1)

        normed = (self.norm1(hidden_states.float()) * (1 + scale1) + shift1).to(dtype)
        added = self.attn1(normed, None, None, rotary_emb)
        hidden_states = self.after_attn1((hidden_states.float() + added * gate1).to(dtype))

        normed = self.norm2(hidden_states.float()).to(dtype)
        hidden_states = hidden_states + self.attn2(normed, encoder_hidden_states, None, None)

        normed = (self.norm3(hidden_states.float()) * (1 + scale3) + shift3).to(dtype)
        added = self.ffn(normed)
        out: Tensor = self.after_ffn((hidden_states.float() + added.float() * gate3).to(dtype))
        return out


def opened(model: WanTransformer3DModel) -> WanTransformer3DModel:
    """The same model, its blocks open to adapters; parameters and their names stay."""
    for block in model.blocks:
        block.after_attn1, block.after_ffn = (nn.Identity().train(block.training) for _ in range(2))
        block.__class__ = OpenBlock
    return model


@contextmanager
def skipping_blocks(denoiser: nn.Module, threshold: float) -> Iterator[None]:
    """First Block Cache on a model of open blocks, inside the context, which begins with nothing cached.

    Where what the first block adds changed by less than the share `threshold` since the last step in which all blocks
    ran, what the others added there is added again, and they don't run. A batch is decided on as one.
    """
    model: Any = denoiser
    if len(model.blocks) < 2:
        yield
        return
    # diffusers knows blocks by their class.
    TransformerBlockRegistry.register(OpenBlock, TransformerBlockMetadata(return_hidden_states_index=0))
    model.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    try:
        with model.cache_context("denoising"):
            yield
    finally:
        model.disable_cache()

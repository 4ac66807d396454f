"""The family of `UNet3DConditionModel`: ModelScope, Zeroscope, and the embedded base."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch.utils.checkpoint
from diffusers import UNet3DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn

from engine.bases.base import Axis, Label, LayerKind, Projection, Site

DENOISER = UNet3DConditionModel
_PROJECTIONS: dict[str, Projection] = {"q": "query", "k": "key", "v": "value", "out": "output"}


def sites(denoiser: UNet3DConditionModel) -> list[Site]:
    """Attention and feed-forward layers of all transformer blocks, in the model's own order.

    A spatial block has self-attention, cross-attention, feed-forward; a temporal one has two
    self-attentions over frames, and a feed-forward.
    """
    found = []
    for name, block in denoiser.named_modules():
        if not isinstance(block, BasicTransformerBlock):
            continue
        axis: Axis = _axis(name)
        crossing: LayerKind = "cross_attention" if axis == "spatial" else "self_attention"
        layers: tuple[tuple[str, nn.Module, nn.Module, LayerKind], ...] = (
            ("attn1", block.norm1, block.attn1, "self_attention"),
            ("attn2", block.norm2, block.attn2, crossing),
            ("ff", block.norm3, block.ff, "feed_forward"),
        )
        width = int(block.norm1.normalized_shape[0])
        found += [
            Site(f"{name}.{leaf}", norm, layer, width, axis, kind, _depth(name, denoiser))
            for leaf, norm, layer, kind in layers
        ]
    return found


def labels(denoiser: UNet3DConditionModel) -> dict[str, Label]:
    """A label for every parameter. Norms of a transformer block count with the layer that they feed."""
    return {
        name: Label(_axis(name), _kind(name), _depth(name, denoiser), _projection(name))
        for name, _ in denoiser.named_parameters()
    }


@contextmanager
def checkpointed(denoiser: UNet3DConditionModel) -> Iterator[None]:
    """Recompute the activations of resnets, convolutions and transformers in the backward pass."""
    kinds = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel)
    blocks: list[Any] = [m for m in denoiser.modules() if isinstance(m, kinds)]
    for block in blocks:
        block.forward = partial(torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _axis(name: str) -> Axis:
    if name.startswith("time_embedding."):
        return "time_embedding"
    return "temporal" if re.search(r"transformer_in|temp_attentions|temp_convs", name) else "spatial"


def _kind(name: str) -> LayerKind:
    inner = re.search(r"transformer_blocks\.\d+\.(attn1|attn2|ff|norm1|norm2|norm3)\.", name)
    if inner is None:
        return "other"
    leaf = inner.group(1)
    if leaf in ("ff", "norm3"):
        return "feed_forward"
    return "cross_attention" if leaf in ("attn2", "norm2") and _axis(name) == "spatial" else "self_attention"


def _projection(name: str) -> Projection | None:
    inner = re.search(r"\.attn[12]\.to_(q|k|v|out)\b", name)
    return _PROJECTIONS[inner.group(1)] if inner is not None else None


def _depth(name: str, denoiser: UNet3DConditionModel) -> int:
    levels = len(denoiser.config.block_out_channels)
    place = re.match(r"(down|up)_blocks\.(\d+)", name)
    if place is None:
        return levels - 1 if name.startswith("mid_block") else 0
    level = int(place.group(2))
    return level if place.group(1) == "down" else levels - 1 - level

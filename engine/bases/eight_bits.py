"""A frozen denoiser's matrices in 8 bits: half of the memory of bfloat16, widened one by one as they are used.

diffusers' layerwise casting stores the same, but swaps a layer's weight around its forward pass, so that no gradient
goes through the layer afterwards. Here it does, without a wide copy being kept for it. Each row has a scale of its own:
e4m3 has three bits of fraction down to 2^-6 only, which weights are often below.
"""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STORED = torch.float8_e4m3fn
_LARGEST = torch.finfo(STORED).max
_WIDE_EVERYWHERE = ("pos_embed", "patch_embed", "norm", r"^proj_in$", r"^proj_out$")
"""Layers that diffusers leaves wide in every model; a model may name more."""


class StoredLinear(nn.Linear):
    """A linear layer whose weight is stored in 8 bits, and that computes in `dtype`."""

    scale: Tensor
    dtype: torch.dtype

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = _Widened.apply(inputs, self.weight, self.scale, self.bias, self.dtype)
        return out


class _Widened(torch.autograd.Function):
    """The layer's product; its gradient is with respect to the inputs alone."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, stored: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        ctx.save_for_backward(stored, scale)
        ctx.dtype, ctx.given = dtype, inputs.dtype
        return F.linear(inputs.to(dtype), widened(stored, scale, dtype), None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        stored, scale = ctx.saved_tensors
        through = gradients[0].to(ctx.dtype) @ widened(stored, scale, ctx.dtype)
        return through.to(ctx.given), None, None, None, None


def widened(stored: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix stored in 8 bits with the scales `(rows, 1)`, in a wider precision."""
    return (stored.to(torch.float32) * scale).to(dtype)


def narrowed(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix in 8 bits, and the scales of its rows in float32, `(rows, 1)`."""
    wide = weight.float()
    scale = (wide.abs().amax(dim=1, keepdim=True) / _LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
    return (wide / scale).to(STORED), scale


def narrowable(model: nn.Module) -> dict[str, nn.Linear]:
    """The layers of a model whose weights can be stored so, by name."""
    wide = (*_WIDE_EVERYWHERE, *(getattr(model, "_skip_layerwise_casting_patterns", None) or ()))
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and not any(re.search(pattern, name) for pattern in wide)
    }


def stored_in_8_bits(model: nn.Module, dtype: torch.dtype) -> None:
    """Store the matrices of a frozen model so; it computes in `dtype` as before, and a name stays what it was.

    All else is copied: what is left of the wide weights may be the pages of one file, which stay or leave together.
    """
    for layer in narrowable(model).values():
        stored, scale = narrowed(layer.weight)
        layer.weight = nn.Parameter(stored, requires_grad=False)
        layer.register_buffer("scale", scale, persistent=False)
        layer.__class__ = StoredLinear
        assert isinstance(layer, StoredLinear)
        layer.dtype = dtype
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype != STORED:
            tensor.data = tensor.data.clone()

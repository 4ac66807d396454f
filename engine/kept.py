"""What a forward pass keeps for the backward pass, counted on models without weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn


class Kept:
    """Bytes that are kept: of what each tensor saves, and while one checkpointed part is computed again, of it."""

    def __init__(self) -> None:
        self._whole, self._recomputed = _Count(), 0

    @property
    def bytes(self) -> int:
        """The most that is kept at once."""
        return self._whole.bytes + self._recomputed

    def save(self, tensor: Tensor) -> Tensor:
        return self._whole.save(tensor)

    def checkpoint(self, function: Callable[..., Any], *inputs: Any, use_reentrant: bool = False, **named: Any) -> Any:
        """In place of `torch.utils.checkpoint.checkpoint`: keep the inputs, and count what is kept inside apart."""
        for value in (*inputs, *named.values()):
            if isinstance(value, Tensor):
                self.save(value)
        inside = _Count()
        with torch.autograd.graph.saved_tensors_hooks(inside.save, lambda tensor: tensor):
            output = function(*inputs, **named)
        self._recomputed = max(self._recomputed, inside.bytes)
        return output


class _Count:
    """Bytes of tensors that are saved, each storage once, and no parameter."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, Tensor] = {}

    def save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        of_weights = isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)  # or a view of some
        if not of_weights and storage._cdata not in self._seen:
            self._seen[storage._cdata] = tensor  # A storage that stays can't lend its address to another.
            self.bytes += storage.nbytes()
        return tensor


@contextmanager
def counting_kept() -> Iterator[Kept]:
    """Count what is kept inside the context. Attention is taken for one that never holds all its weights at once, as
    on CUDA and on processors: without weights, torch would take the one that does."""
    kept = Kept()
    with (
        torch.autograd.graph.saved_tensors_hooks(kept.save, lambda tensor: tensor),
        _replaced(torch.utils.checkpoint, "checkpoint", kept.checkpoint),
        _replaced(F, "scaled_dot_product_attention", _attention),
    ):
        yield kept


@contextmanager
def _replaced(module: ModuleType, name: str, stand_in: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, stand_in)
    try:
        yield
    finally:
        setattr(module, name, before)


def _attention(query: Tensor, key: Tensor, value: Tensor, *_more: object, **_how: object) -> Tensor:
    attended: Tensor = _Attention.apply(query, key, value)
    return attended


class _Attention(torch.autograd.Function):
    """Attention's products, of which a backward pass needs the inputs and the output."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = query @ key.transpose(-2, -1) @ value
        ctx.save_for_backward(query, key, value, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        query, key, value, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)

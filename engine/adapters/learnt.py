"""What all learnt weights have in common, whatever their form: they attach to a base, and leave no trace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from engine.adapters.choosing import Form
from engine.bases.base import Base
from engine.errors import AdapterError


class Learnt(ABC):
    """A set of weights with one strength, that may be changed between denoising steps; 0 is the bare base."""

    def __init__(self) -> None:
        self.strength = 1.0

    @property
    @abstractmethod
    def form(self) -> Form:
        """Which kind of weights these are: what a file needs to say to be read again."""

    @property
    @abstractmethod
    def widths(self) -> dict[str, int]:
        """The hidden width or rank at each place; empty for a form that has none."""

    @abstractmethod
    def parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name."""

    @abstractmethod
    def to(self, device: torch.device) -> Learnt:
        """Move the weights, which stay in float32."""

    @abstractmethod
    def attached(self, base: Base) -> AbstractContextManager[None]:
        """Take effect on the base's predictions inside the context. Raises `AdapterError` where they don't fit."""

    def condition(self, embedding: Tensor | None, strength: Tensor | None = None) -> None:  # noqa: B027
        """Look at an image embedding `(B, C')` with strength `(B,)`; a form without appearance guidance doesn't."""

    def state(self) -> dict[str, Tensor]:
        """Every weight by name, detached, on the CPU, in float32."""
        return {k: p.detach().float().cpu().contiguous() for k, p in self.parameters().items()}

    def count(self) -> int:
        """The number of trainable values."""
        return sum(p.numel() for p in self.parameters().values())


def parameters_of(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """The parameters of modules at places by "place/leaf"."""
    return {f"{place}/{leaf}": p for place, module in modules.items() for leaf, p in module.named_parameters()}


def grouped(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors by "place/leaf" as tensors by leaf by place."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        place, _, leaf = key.rpartition("/")
        groups.setdefault(place, {})[leaf] = tensor
    return groups


def load_whole(module: nn.Module, tensors: Mapping[str, Tensor], place: str) -> None:
    """Load a module's tensors. Raises `AdapterError` where one is missing, unknown or of another shape."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise AdapterError(f"the adapter's weights at {place} are not whole: {error}") from error

"""Fine-tuned weights as their difference to the frozen ones: what is stored of a base that was trained itself.

AdamW on the difference takes the same steps as on the weight (its decay, where there is any, pulls towards
the base's weight instead of towards zero).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.adapters.choosing import Form
from engine.adapters.learnt import Learnt
from engine.bases.base import Base
from engine.bases.eight_bits import STORED
from engine.errors import AdapterError


@dataclass(frozen=True)
class _Place:
    """Where a parameter sits: `owner.leaf`, and the frozen one that goes back there."""

    name: str
    owner: nn.Module
    leaf: str
    frozen: nn.Parameter


class WeightDeltas(Learnt):
    """Differences to a number of the base's parameters, by their names."""

    def __init__(self, deltas: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.deltas = dict(deltas)

    @classmethod
    def create(cls, names: Iterable[str], denoiser: nn.Module) -> WeightDeltas:
        """No difference yet, for the parameters called `names`."""
        return cls({name: nn.Parameter(torch.zeros(denoiser.get_parameter(name).shape)) for name in names})

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> WeightDeltas:
        """Rebuild a set from `state()`."""
        return cls({name: nn.Parameter(tensor.float()) for name, tensor in state.items()})

    @property
    def form(self) -> Form:
        return "weight-deltas"

    @property
    def widths(self) -> dict[str, int]:
        return {}

    def parameters(self) -> dict[str, nn.Parameter]:
        return self.deltas

    def to(self, device: torch.device) -> WeightDeltas:
        self.deltas = {name: nn.Parameter(delta.detach().to(device)) for name, delta in self.deltas.items()}
        return self

    @contextmanager
    def attached(self, base: Base) -> Iterator[None]:
        """The sums stand in the parameters' places, made anew before a prediction where they may have changed:
        under gradients, and at another strength. Two sets that change the same parameter do not go together.
        """
        places = self._places(base)
        summed_at: float | None = None

        def put(_denoiser: nn.Module, _inputs: object) -> None:
            nonlocal summed_at
            if summed_at == self.strength and not torch.is_grad_enabled():
                return
            for place in places:
                # torch.func.functional_call puts tensors into parameters' places in this same way.
                place.owner._parameters[place.leaf] = self._sum(place)  # type: ignore[assignment]
            summed_at = None if torch.is_grad_enabled() else self.strength

        handle = base.denoiser.register_forward_pre_hook(put)
        try:
            with torch.no_grad():
                put(base.denoiser, ())
            yield
        finally:
            handle.remove()
            for place in places:
                place.owner._parameters[place.leaf] = place.frozen

    def _sum(self, place: _Place) -> Tensor:
        if self.strength == 0:
            return place.frozen
        summed = place.frozen.float() + self.strength * self.deltas[place.name]
        return summed.to(place.frozen.dtype)

    def _places(self, base: Base) -> list[_Place]:
        owners, places = dict(base.denoiser.named_modules()), []
        for name, delta in self.deltas.items():
            module, _, leaf = name.rpartition(".")
            owner = owners.get(module)
            there = owner._parameters.get(leaf) if owner is not None else None
            if owner is None or there is None or there.shape != delta.shape:
                found = "no such parameter" if there is None else f"shape {tuple(there.shape)} there"
                raise AdapterError(
                    f"the adapter does not fit the base {base.name}: its change of {name} has shape "
                    f"{tuple(delta.shape)}, the base has {found}"
                )
            if there.dtype == STORED:
                raise AdapterError(
                    f"weights that are stored in 8 bits can't be changed themselves, as {name}: use `dtype` bf16"
                )
            if base.compute.offload:
                raise AdapterError(f"weights that are offloaded can't be changed themselves, as {name}: drop `offload`")
            if not isinstance(there, nn.Parameter):
                raise AdapterError(f"two adapters change the weights {name} themselves: they do not go together")
            places.append(_Place(name, owner, leaf, there))
        return places

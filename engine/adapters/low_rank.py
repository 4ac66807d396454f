"""LoRA (arXiv 2106.09685): a matrix's output plus x A^T B^T, B starting at zero; its alpha is the rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.adapters.choosing import Form
from engine.adapters.learnt import Learnt, grouped, load_whole, parameters_of
from engine.bases.base import Base
from engine.errors import AdapterError


class LowRankUpdate(nn.Module):
    """The update of one matrix `(out, in)`."""

    def __init__(self, shape: tuple[int, int], rank: int) -> None:
        super().__init__()
        self.lora_A = nn.Linear(shape[1], rank, bias=False)
        self.lora_B = nn.Linear(rank, shape[0], bias=False)
        nn.init.zeros_(self.lora_B.weight)

    @property
    def shape(self) -> tuple[int, int]:
        return self.lora_B.out_features, self.lora_A.in_features

    def forward(self, inputs: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)`."""
        update: Tensor = self.lora_B(self.lora_A(inputs))
        return update


class LowRankSet(Learnt):
    """Low-rank updates of a number of the base's matrices, by the names of their linear layers."""

    def __init__(self, updates: Mapping[str, LowRankUpdate]) -> None:
        super().__init__()
        self.updates = dict(updates)

    @classmethod
    def create(cls, names: Iterable[str], denoiser: nn.Module, rank: int, *, seed: int) -> LowRankSet:
        """Fresh updates for the weights called `names`; A by torch's default initialisation, from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shapes = {name: tuple(denoiser.get_parameter(name).shape) for name in names}
            return cls({n.removesuffix(".weight"): LowRankUpdate((s[0], s[1]), rank) for n, s in shapes.items()})

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> LowRankSet:
        """Rebuild a set from `state()`. Raises `AdapterError` for tensors that are not a set's."""
        updates = {}
        for place, tensors in grouped(state).items():
            if not tensors.keys() >= {"lora_A.weight", "lora_B.weight"}:
                raise AdapterError(f"the adapter's weights at {place} are not whole")
            a, b = tensors["lora_A.weight"], tensors["lora_B.weight"]
            update = LowRankUpdate((b.shape[0], a.shape[1]), a.shape[0])
            load_whole(update, tensors, place)
            updates[place] = update
        return cls(updates)

    @property
    def form(self) -> Form:
        return "low-rank"

    @property
    def widths(self) -> dict[str, int]:
        return {place: update.lora_A.out_features for place, update in self.updates.items()}

    def parameters(self) -> dict[str, nn.Parameter]:
        return parameters_of(self.updates)

    def to(self, device: torch.device) -> LowRankSet:
        for update in self.updates.values():
            update.to(device)
        return self

    @contextmanager
    def attached(self, base: Base) -> Iterator[None]:
        handles: list[RemovableHandle] = []
        layers = dict(base.denoiser.named_modules())
        try:
            for place, update in self.updates.items():
                layer = layers.get(place)
                if not isinstance(layer, nn.Linear) or tuple(layer.weight.shape) != update.shape:
                    raise AdapterError(
                        f"the adapter does not fit the base {base.name}: its update of {place} is of shape "
                        f"{update.shape}, and the base has no such matrix there"
                    )
                handles.append(layer.register_forward_hook(self._added(update)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _added(self, update: LowRankUpdate) -> Any:
        def add(_layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
            if self.strength == 0:
                return None
            addition: Tensor = update(inputs[0])
            return output + (self.strength * addition).to(output.dtype)

        return add

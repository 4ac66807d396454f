"""How much each layer of a base changes when it is fine-tuned (paper, section 3.3 and Fig. 4).

Delta of a layer is ||theta' - theta|| / ||theta||, over the values of the layer (weight and bias) together; what is
reported is its mean over the layers of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from torch import Tensor, nn

from engine.bases.family import Axis, Label, LayerKind
from engine.errors import AdapterError


@dataclass(frozen=True)
class LayerChange:
    """One layer: what it is, and its Delta."""

    name: str
    axis: Axis
    kind: LayerKind
    delta: float


@dataclass(frozen=True)
class KindChange:
    """The layers of one kind: the mean, the least and the largest Delta of `layers` of them."""

    kind: LayerKind
    mean: float
    least: float
    most: float
    layers: int


def layer_changes(denoiser: nn.Module, labels: Mapping[str, Label], deltas: Mapping[str, Tensor]) -> list[LayerChange]:
    """The Delta of every layer that `deltas` (differences by the parameter's name) change, in the model's order.

    A layer whose weights are all zero has no Delta and is left out. Raises `AdapterError` for a parameter that the
    denoiser doesn't have.
    """
    parameters = dict(denoiser.named_parameters())
    if unknown := sorted(deltas.keys() - parameters.keys()):
        raise AdapterError(f"the base has no parameter {unknown[0]}")
    squares: dict[str, tuple[float, float]] = {}
    for name in (name for name in parameters if name in deltas):
        layer = name.rpartition(".")[0]
        before = float(parameters[name].detach().double().square().sum())
        change = float(deltas[name].double().square().sum())
        known = squares.get(layer, (0.0, 0.0))
        squares[layer] = (known[0] + before, known[1] + change)
    first = {name.rpartition(".")[0]: labels[name] for name in reversed(list(parameters)) if name in deltas}
    return [
        LayerChange(layer, first[layer].axis, first[layer].kind, (change / before) ** 0.5)
        for layer, (before, change) in squares.items()
        if before > 0
    ]


def by_kind(layers: list[LayerChange]) -> list[KindChange]:
    """The mean of every kind that there is, in the paper's order."""
    found = []
    for kind in get_args(LayerKind):
        values = [layer.delta for layer in layers if layer.kind == kind]
        if values:
            found.append(KindChange(kind, sum(values) / len(values), min(values), max(values), len(values)))
    return found

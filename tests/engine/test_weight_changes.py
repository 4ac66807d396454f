"""Delta of layers: the formula, and what has none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.bases.family import Label
from engine.errors import AdapterError
from engine.weight_changes import by_kind, layer_changes


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.norm = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        with torch.no_grad():
            for layer, value in ((self.query, 1.0), (self.key, 2.0), (self.norm, 0.0)):
                layer.weight.fill_(value)
                layer.bias.fill_(value)


LABELS = {
    f"{layer}.{leaf}": Label("spatial", "cross_attention" if layer != "norm" else "other", 0)
    for layer in ("query", "key", "norm")
    for leaf in ("weight", "bias")
}


def test_a_layers_delta_is_of_weight_and_bias_together() -> None:
    deltas = {"query.weight": torch.full((2, 2), 0.3), "query.bias": torch.full((2,), 0.3)}
    (query,) = layer_changes(Model(), LABELS, deltas)
    assert (query.name, query.kind) == ("query", "cross_attention")
    assert query.delta == pytest.approx(0.3)


def test_kinds_have_the_mean_of_their_layers_and_zeros_have_none() -> None:
    deltas = {name: torch.full_like(p, 0.2) for name, p in Model().named_parameters()}
    layers = layer_changes(Model(), LABELS, deltas)
    assert [layer.name for layer in layers] == ["query", "key"]
    (kind,) = by_kind(layers)
    assert (kind.kind, kind.layers) == ("cross_attention", 2)
    assert kind.mean == pytest.approx((0.2 + 0.1) / 2)
    assert [kind.least, kind.most] == pytest.approx([0.1, 0.2])


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(AdapterError, match=r"no parameter mystery\.weight"):
        layer_changes(Model(), LABELS, {"mystery.weight": torch.ones(2)})

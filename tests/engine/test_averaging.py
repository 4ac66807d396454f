"""The moving average of weights."""

from __future__ import annotations

import torch

from engine.averaging import Average


def test_it_follows_the_weights_by_its_decay_once_it_is_warm() -> None:
    weight = torch.zeros(2)
    average = Average({"w": weight}, 0.5)
    weight.fill_(1.0)
    average.update(1000)
    assert average.tensors["w"].tolist() == [0.5, 0.5]
    average.update(1001)
    assert average.tensors["w"].tolist() == [0.75, 0.75]


def test_its_first_steps_forget_where_the_weights_began() -> None:
    weight = torch.zeros(1)
    average = Average({"w": weight}, 0.9999)
    weight.fill_(1.0)
    for step in range(1, 20):
        average.update(step)
    assert average.tensors["w"].item() > 0.99

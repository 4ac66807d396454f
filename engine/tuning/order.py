"""Which clips a batch holds: every clip once in each pass over the data, in an order that the seed decides."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.training import generator_at


class Order:
    """Batches of clips whose windows have one length, as functions of their number: nothing is to be remembered.

    A pass goes over all clips of each length, shuffled, and its batches are shuffled too. A length whose last batch
    isn't full is filled up from the beginning of its own order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._alike = {length: [i for i, own in enumerate(lengths) if own == length] for length in sorted({*lengths})}
        self._batch_size, self._seed = batch_size, seed
        self.batches = sum(-(-len(clips) // batch_size) for clips in self._alike.values())
        """Batches of a pass."""
        self._pass: tuple[int, list[list[int]]] = (-1, [])

    def batch(self, number: int) -> list[int]:
        """The clips of a batch, counted from 0 over all passes."""
        turn, place = divmod(number, self.batches)
        if self._pass[0] != turn:
            self._pass = (turn, self._shuffled(turn))
        return self._pass[1][place]

    def _shuffled(self, turn: int) -> list[list[int]]:
        made = []
        for length, clips in self._alike.items():
            generator = generator_at(self._seed, turn, f"order/{length}")
            order = [clips[int(i)] for i in torch.randperm(len(clips), generator=generator)]
            full = -(-len(order) // self._batch_size) * self._batch_size
            filled = [order[i % len(order)] for i in range(full)]
            made += [filled[start : start + self._batch_size] for start in range(0, full, self._batch_size)]
        shuffled = torch.randperm(len(made), generator=generator_at(self._seed, turn, "order"))
        return [made[int(i)] for i in shuffled]

"""Batches drawn ahead by other processes, where there are processors to spare."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


def spare_processors() -> int:
    """How many processes may prepare data beside the training: none on few processors, which have enough to do."""
    processors = os.cpu_count() or 1
    return processors - 2 if processors > 4 else 0


@dataclass(frozen=True)
class _Steps(Dataset[T], Generic[T]):
    """The batches of `draw` from step `first` on."""

    draw: Callable[[int], T]
    first: int

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, i: int) -> T:
        return self.draw(self.first + i)


def drawn_ahead(draw: Callable[[int], T], processes: int | None = None) -> Callable[[int], T]:
    """`draw` for steps in order, the next ones drawn by `processes` others (those to spare) meanwhile: the same
    batches, sooner."""
    count = spare_processors() if processes is None else processes
    if count == 0:
        return draw
    feed: Iterator[T] = iter(())
    due = -1

    def at(step: int) -> T:
        nonlocal feed, due
        if step != due:
            feed = iter(DataLoader(_Steps(draw, step), batch_size=None, num_workers=count))
        due = step + 1
        return next(feed)

    return at

"""A suite in parts."""

from __future__ import annotations

import pytest

from dreamvideo_cli.jobs.suite.shards import Shard, shard_from
from engine.errors import InputError
from engine.evaluation.suites.results import Cell

CELLS = [
    Cell(method, subject, "zigzag", "a * \udcff asleep", seed)
    for method in ("dreamvideo", "lora")
    for subject in ("fox", "zebra", None)
    for seed in range(5)
]


@pytest.mark.parametrize("of", [1, 4, 7, 50])
def test_shards_are_disjoint_of_one_size_and_the_whole_suite_together(of: int) -> None:
    parts = [Shard(number, of).cells(CELLS) for number in range(1, of + 1)]
    assert sum(map(len, parts)) == len(CELLS)
    assert frozenset().union(*parts) == set(CELLS)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [Shard(number, of).cells(reversed(CELLS)) for number in range(1, of + 1)] == parts


def test_every_shard_has_something_of_everything() -> None:
    assert len({cell.method for cell in Shard(1, 3).cells(CELLS)}) == 2
    assert len({cell.subject for cell in Shard(1, 3).cells(CELLS)}) == 3


def test_shards_that_start_together_begin_with_different_adapters() -> None:
    adapters = [f"{number:064x}" for number in range(40)]
    orders = [Shard(number, 4).learning_order(adapters) for number in range(1, 5)]
    assert all(sorted(order) == adapters for order in orders)
    assert len({order[0] for order in orders}) == 4


def test_a_shard_is_read_as_it_is_written() -> None:
    assert str(shard_from("3/16")) == "3/16"
    assert shard_from("16/16") == Shard(16, 16)


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "", "1", "1/0", "-1/4", "1/2/3", "1.5/4", "\uff11/4", "1/4\n"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no part of a suite: give NUMBER/OF"):
        shard_from(text)

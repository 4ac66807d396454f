"""How processes that learn together share a step."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.errors import InputError
from engine.processes import Processes, started_processes


@pytest.mark.parametrize(("batch", "accumulation", "size"), [(4, 1, 1), (4, 1, 2), (2, 3, 6), (1, 4, 2), (6, 4, 8)])
def test_shares_are_equal_and_together_all_samples_of_a_step(batch: int, accumulation: int, size: int) -> None:
    shares = [Processes(rank, size).share(batch, accumulation) for rank in range(size)]
    computed = [
        (micro, sample) for one in shares for micro in one.micro_batches for sample in range(batch)[one.samples]
    ]
    assert Counter(computed) == Counter((micro, sample) for micro in range(accumulation) for sample in range(batch))
    assert len({(len(one.micro_batches), len(range(batch)[one.samples])) for one in shares}) == 1
    of_micro_batch = [(micro, one.number) for one in shares for micro in one.micro_batches]
    assert len(set(of_micro_batch)) == len(of_micro_batch)


@pytest.mark.parametrize(("batch", "accumulation", "size"), [(1, 1, 2), (4, 1, 3), (3, 2, 4)])
def test_samples_that_can_not_be_divided_are_refused(batch: int, accumulation: int, size: int) -> None:
    with pytest.raises(InputError, match=f"{size} processes can't share the {batch * accumulation} samples"):
        Processes(0, size).share(batch, accumulation)


def test_a_launchers_environment_tells_who_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")  # as some machines always have it
    assert started_processes() == Processes(0, 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "3")
    assert started_processes() == Processes(3, 4) and not started_processes().is_first

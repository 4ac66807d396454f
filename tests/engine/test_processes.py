"""How processes that learn together share a step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from engine.errors import InputError
from engine.learning import learn_motion, learn_subject
from engine.processes import Processes, started_processes
from tests.engine.learning_samples import Calls, LoadBase, both, motion_plan, subject_plan, watched


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


@pytest.mark.parametrize("kind", ["subject", "motion"])
def test_processes_see_the_samples_that_one_process_sees(
    load: LoadBase, photographs: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def seen(rank: int, size: int) -> Calls:
        monkeypatch.setattr("engine.learning.Processes", lambda *_: Processes(rank, size))
        base = load()
        with watched(base) as calls:
            if kind == "subject":
                plan = subject_plan(base, photographs, batch_size=4, token_steps=1, adapter_steps=1)
                learn_subject(plan, base, tmp_path / f"{rank} of {size}")
            else:
                learn_motion(
                    motion_plan(base, both(clips), batch_size=4, steps=2), base, tmp_path / f"{rank} of {size}"
                )
        return calls

    alone, first, second = seen(0, 1), seen(0, 2), seen(1, 2)
    assert len(alone.noisy) == len(first.noisy) == len(second.noisy) == 2
    for whole, *halves in zip(alone.noisy, first.noisy, second.noisy, strict=True):
        assert torch.equal(whole[0::2], halves[0]) and torch.equal(whole[1::2], halves[1])
    # Of the first step: from then on the token is another one.
    assert torch.allclose(alone.text[0][0::2], first.text[0]) and torch.allclose(alone.text[0][1::2], second.text[0])
    assert not torch.equal(first.noisy[0], second.noisy[0])

"""The processes that learn one adapter together, as `accelerate launch` or `torchrun` start them.

They share a step's samples: which ones a step has comes from settings and seed alone, so what is learnt is, to
rounding, the same by any number of processes. The first one decides, writes and tells; the others do as it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from typing import Any

from engine.errors import InputError, JobError


@dataclass(frozen=True)
class Share:
    """What one of the processes computes of each step: some of its micro-batches, and some samples of each of those.

    A step has as many micro-batches as gradients are accumulated over, each of `batch_size` samples.
    """

    micro_batches: range
    samples: slice
    number: int
    """Tells it from the processes that have other samples of the same micro-batches."""


@dataclass(frozen=True)
class Processes:
    """The process that this is, `rank` of `size`, counted from 0. Alone it is 0 of 1."""

    rank: int
    size: int

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and tells."""
        return self.rank == 0

    def share(self, batch_size: int, gradient_accumulation: int) -> Share:
        """What this process computes of a step. Raises `InputError` where its samples can't be divided evenly."""
        apart = gcd(gradient_accumulation, self.size)
        together = self.size // apart
        if batch_size % together:
            raise InputError(
                f"{self.size} processes can't share the {batch_size * gradient_accumulation} samples of a step evenly "
                f"(`batch_size` {batch_size}, `gradient_accumulation` {gradient_accumulation}): start another number "
                "of processes, or change one of these"
            )
        number = self.rank // apart
        return Share(range(self.rank % apart, gradient_accumulation, apart), slice(number, None, together), number)

    def agreed(self, said: object) -> Any:
        """What the first process gives here, in all of them."""
        if self.size == 1:
            return said
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([said], from_process=0)[0]


ALONE = Processes(0, 1)


def started_processes() -> Processes:
    """This process and those that were started with it, as the launcher's environment tells."""
    if "LOCAL_RANK" not in os.environ:  # what accelerate goes by, too
        return ALONE
    return Processes(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


@contextmanager
def connected(device: str | None) -> Iterator[Processes]:
    """Connect the processes that were started together, each with a GPU of its own where `device` isn't the CPU.

    Raises `InputError` for a device that isn't there, `JobError` when one of them is lost on the way.
    """
    processes = started_processes()
    if processes.size == 1:
        yield processes
        return
    from accelerate import PartialState

    from engine.bases.load import choose_device

    state = PartialState(cpu=choose_device(device).type == "cpu")
    try:
        yield processes
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        if not re.search("gloo|nccl|connection|socket", reason, re.IGNORECASE):
            raise
        raise JobError(
            f"another of the {processes.size} processes is gone ({reason}): it says why, or was killed. "
            "The same command with `resume` goes on"
        ) from error
    finally:
        state.destroy_process_group()


@dataclass
class Lead:
    """What the first of several processes tells the others: what they share the steps of (`begin`), and at the end what
    came of it (`made`)."""

    processes: Processes
    made: Any = None
    began: bool = False

    def begin(self, shared: object) -> None:
        """Let the others begin with `shared`, which each of them gets from `agreed`."""
        self.began = True
        self.processes.agreed(shared)


@contextmanager
def leading(processes: Processes) -> Iterator[Lead]:
    """Lead the other processes: they are told `Lead.made` at the end, and None at once where nothing was begun."""
    lead = Lead(processes)
    try:
        yield lead
    finally:
        if not lead.began:
            processes.agreed(None)
    if lead.began:
        processes.agreed(lead.made)

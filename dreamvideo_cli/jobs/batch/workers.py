"""Rows of a batch made by several processes, one for each device, each with a base of its own.

The process of the batch hands a row to whoever is free, and alone shows progress and writes the manifest. A worker
says over its pipe what it did; one that dies takes only its row along.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dreamvideo_cli.jobs.batch.making import Maker, OnRowStep, base_of
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.running import Entry

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_STOPPING_S = 10
"""How long a worker has to take away the file that it is at."""


@dataclass(frozen=True)
class Share:
    """What one of `jobs` workers computes on: the GPU of its number, or its part of the processor's threads."""

    kind: Literal["cuda", "cpu"]
    number: int
    jobs: int

    def take(self) -> None:
        """Let this process have its share alone. To be called before torch looks for devices."""
        if self.kind == "cuda":
            known = os.environ.get(_VISIBLE)
            os.environ[_VISIBLE] = known.split(",")[self.number] if known else str(self.number)
        else:
            import torch

            torch.set_num_threads(max(1, torch.get_num_threads() // self.jobs))


@dataclass(frozen=True)
class Outcome:
    """What a worker says of a row when it is through with it."""

    hashes: dict[Path, str]
    error: str | None


def shares(jobs: int, entries: Sequence[Entry]) -> list[Share]:
    """What each of several workers gets. Raises `InputError` where there are fewer devices than `jobs`."""
    asked = {entry.job.wish.device for entry in entries}
    kinds = {device or _best_device() for device in asked}
    if len(kinds) > 1:
        raise InputError(f"--jobs spreads rows over devices of one kind, and these name {' and '.join(sorted(kinds))}")
    kind = kinds.pop()
    if kind != "cuda" and (kind != "cpu" or None in asked):
        way_on = ", or add --device cpu to share the processor" if kind == "cpu" else ""
        raise InputError(f"--jobs {jobs} is for several GPUs, and there is only {kind} here: leave it out{way_on}")
    most, things = (_gpus(), "GPU") if kind == "cuda" else (os.cpu_count() or 1, "core")
    if jobs > most:
        raise InputError(f"--jobs {jobs} is more than the {count_text(most, things)} here: give {most} or less")
    return [Share("cuda" if kind == "cuda" else "cpu", number, jobs) for number in range(jobs)]


def _best_device() -> str:
    from engine.bases.load import best_device

    return best_device()


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def made_by_workers(
    entries: Sequence[Entry], shared: Sequence[Share], on_step: OnRowStep, out: Out
) -> Generator[tuple[Entry, str | None]]:
    """Make every row, and give each with its error when it is through, in the order in which that happens.

    Closing the iterator stops the workers; half a file they don't leave.
    """
    waiting = list(entries)
    workers = [_Worker(share, out) for share in shared[: len(waiting)]]
    try:
        while waiting or any(worker.entry for worker in workers):
            for worker in workers:
                if worker.entry is None and waiting:
                    worker.give(waiting.pop(worker.next_of(waiting)))
            busy = [worker for worker in workers if worker.entry is not None]
            ready = wait([worker.pipe for worker in busy])
            for worker in busy:
                outcome = worker.heard(on_step) if worker.pipe in ready else None
                if outcome is not None:
                    entry, worker.entry = worker.entry, None
                    assert entry is not None
                    entry.hashes.update(outcome.hashes)
                    yield entry, outcome.error
    finally:
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.gone()


class _Worker:
    """A process and what it is at, as the batch's process sees it."""

    def __init__(self, share: Share, out: Out) -> None:
        self.entry: Entry | None = None
        self._share, self._out = share, out
        self._base: tuple[object, ...] | None = None
        self._start()

    def _start(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawning.Pipe()
        # Daemons end with the batch, whatever ends it.
        self.process: SpawnProcess = spawning.Process(target=_work, args=(theirs, self._share, self._out), daemon=True)
        with _deaf_to_ctrl_c():
            self.process.start()
        theirs.close()

    def next_of(self, waiting: Sequence[Entry]) -> int:
        """Which of the waiting rows to do next: one for the base that is loaded, where there is one."""
        return next((n for n, entry in enumerate(waiting) if base_of(entry.job) == self._base), 0)

    def give(self, entry: Entry) -> None:
        """Hand over a row. A process that died at the former one is replaced."""
        if not self.process.is_alive():
            self._start()
        self.entry, self._base = entry, base_of(entry.job)
        # One that dies just now is noticed when nothing is heard from it.
        with suppress(ConnectionError):
            self.pipe.send(entry)

    def heard(self, on_step: OnRowStep) -> Outcome | None:
        """Take what the worker said: a step, or how its row went, which is bad where it died."""
        assert self.entry is not None
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):  # OSError: it was killed halfway through a message
            return Outcome({}, self._death())
        if isinstance(said, Outcome):
            return said
        on_step(self.entry, *said)
        return None

    def _death(self) -> str:
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its process ended with exit code {code}"
        why = ". Perhaps there was too little memory: give fewer --jobs" if -code == signal.SIGKILL else ""
        return f"its process was killed by {signal.Signals(-code).name}{why}"

    def dismiss(self) -> None:
        """Ask the process to end: at once, where it is at a row."""
        # First: one that has noticed the closed pipe may be in the midst of its own end, and complain of a second.
        if self.entry is not None:
            self.process.terminate()
        self.pipe.close()

    def gone(self) -> None:
        """Wait for its end, but not for ever."""
        self.process.join(_STOPPING_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, share: Share, out: Out) -> None:
    """A worker's life: rows come in, steps and outcomes go out, until the batch's process is done or gone."""
    # As an error, so that half a file is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    share.take()
    maker = Maker(out)
    with suppress(EOFError, OSError):  # OSError: the batch's process was killed halfway through a message
        while True:
            entry: Entry = pipe.recv()
            error = maker.make(entry, lambda *step: pipe.send(step))
            pipe.send(Outcome(entry.hashes, error))


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that start here leave Ctrl-C, which a terminal sends to all, to the batch's process: there it waits
    till the end of the block."""
    pressed: list[int] = []
    # What starts here inherits the mask. Here any thread without one may take the signal: so it is noted, too.
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # Where it is started in the block, it undoes the mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)

"""Rows of a batch made by several processes, one for each device, each with a base of its own.

The process of the batch hands a row to whoever is free, and alone shows progress and writes the manifest. A worker
tells over its pipe what it did; one that dies takes only its row along.
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

from dreamvideo_cli.jobs.batch.making import OnRowStep, RowMaker
from dreamvideo_cli.jobs.events import OnEvent, Warned
from dreamvideo_cli.wording import count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.planning import PlannedRow

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_STOPPING_S = 10
"""How long a worker has to take away the file that it is at."""


@dataclass(frozen=True)
class DeviceShare:
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
    """What a worker tells of a row when it is through with it."""

    hashes: dict[Path, str]
    error: str | None


def device_shares(jobs: int, rows: Sequence[PlannedRow]) -> list[DeviceShare]:
    """What each of several workers gets. Raises `InputError` where there are fewer devices than `jobs`."""
    asked = {row.plan.request.device for row in rows}
    kinds = {device or _best_device() for device in asked}
    if len(kinds) > 1:
        raise InputError(f"`jobs` spreads rows over devices of one kind, and these name {' and '.join(sorted(kinds))}")
    kind = kinds.pop()
    if kind != "cuda" and (kind != "cpu" or None in asked):
        way_on = ", or add `device` cpu to share the processor" if kind == "cpu" else ""
        raise InputError(f"`jobs` {jobs} is for several GPUs, and there is only {kind} here: leave it out{way_on}")
    most, things = (_gpus(), "GPU") if kind == "cuda" else (os.cpu_count() or 1, "core")
    if jobs > most:
        raise InputError(f"`jobs` {jobs} is more than the {count_text(most, things)} here: give {most} or less")
    return [DeviceShare("cuda" if kind == "cuda" else "cpu", number, jobs) for number in range(jobs)]


def _best_device() -> str:
    from engine.bases.load import best_device

    return best_device()


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def made_by_workers(
    rows: Sequence[PlannedRow], shares: Sequence[DeviceShare], home: Path, on_step: OnRowStep, on_event: OnEvent
) -> Generator[tuple[PlannedRow, str | None]]:
    """Make every row, and give each with its error when it is through, in the order in which that happens. `home` is
    the registry's folder.

    Closing the iterator stops the workers; half a file they don't leave.
    """
    waiting = list(rows)
    workers = [_Worker(share, home, on_event) for share in shares[: len(waiting)]]
    try:
        while waiting or any(worker.row for worker in workers):
            for worker in workers:
                if worker.row is None and waiting:
                    worker.give(waiting.pop(worker.next_of(waiting)))
            busy = [worker for worker in workers if worker.row is not None]
            ready = wait([worker.pipe for worker in busy])
            for worker in busy:
                outcome = worker.received(on_step) if worker.pipe in ready else None
                if outcome is not None:
                    row, worker.row = worker.row, None
                    assert row is not None
                    row.hashes.update(outcome.hashes)
                    yield row, outcome.error
    finally:
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.wait_for_end()


class _Worker:
    """A process and the row that it is at, as the batch's process sees it."""

    def __init__(self, share: DeviceShare, home: Path, on_event: OnEvent) -> None:
        self.row: PlannedRow | None = None
        self._share, self._home, self._on_event = share, home, on_event
        self._loaded: tuple[object, ...] | None = None
        self._start()

    def _start(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawning.Pipe()
        # Daemons end with the batch, whatever ends it.
        self.process: SpawnProcess = spawning.Process(target=_work, args=(theirs, self._share, self._home), daemon=True)
        with _deaf_to_ctrl_c():
            self.process.start()
        theirs.close()

    def next_of(self, waiting: Sequence[PlannedRow]) -> int:
        """Which of the waiting rows to do next: one for the base that is loaded, where there is one."""
        return next((n for n, row in enumerate(waiting) if row.plan.loading == self._loaded), 0)

    def give(self, row: PlannedRow) -> None:
        """Hand over a row. A process that died at the former one is replaced."""
        if not self.process.is_alive():
            self._start()
        self.row, self._loaded = row, row.plan.loading
        # One that dies just now is noticed when nothing comes from it.
        with suppress(ConnectionError):
            self.pipe.send(row)

    def received(self, on_step: OnRowStep) -> Outcome | None:
        """Take what came from the worker: a step, a warning, or how its row went, which is bad where it died."""
        assert self.row is not None
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):  # OSError: it was killed halfway through a message
            return Outcome({}, self._death())
        if isinstance(message, Outcome):
            return message
        if isinstance(message, Warned):
            self._on_event(message)
        else:
            on_step(self.row, *message)
        return None

    def _death(self) -> str:
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its process ended with exit code {code}"
        why = ". Perhaps there was too little memory: give fewer `jobs`" if -code == signal.SIGKILL else ""
        return f"its process was killed by {signal.Signals(-code).name}{why}"

    def dismiss(self) -> None:
        """Ask the process to end: at once, where it is at a row."""
        # First: one that has noticed the closed pipe may be in the midst of its own end, and complain of a second.
        if self.row is not None:
            self.process.terminate()
        self.pipe.close()

    def wait_for_end(self) -> None:
        """Wait for the process to end, but not for ever."""
        self.process.join(_STOPPING_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, share: DeviceShare, home: Path) -> None:
    """A worker's life: rows come in, steps, warnings and outcomes go out, until the batch's process is done or gone."""
    from registry import Registry

    # As an error, so that half a file is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    share.take()
    with suppress(EOFError, OSError), Registry.open(home) as registry:  # OSError: the batch's process was killed
        maker = RowMaker(registry, pipe.send)
        while True:
            row: PlannedRow = pipe.recv()
            error = maker.make(row, lambda *step: pipe.send(step))
            pipe.send(Outcome(row.hashes, error))


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

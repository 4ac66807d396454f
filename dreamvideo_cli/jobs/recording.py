"""A learning run tells of itself while it runs: its row in the registry, its heartbeat, its log."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.requests import LearnRequest

if TYPE_CHECKING:
    from registry import Registry
    from registry.records import Outcome


class Record:
    """One run's row and log. `reached` is part, step and steps; None before the first step."""

    def __init__(self, registry: Registry, request: LearnRequest) -> None:
        self.reached: tuple[str, int, int] | None = None
        self.adapter: str | None = None
        self._runs = registry.runs
        self._id = self._runs.begin(request.kind, request.name)
        self._over = threading.Event()
        # So that a beat is told whole before the end, or not at all: one that lags would undo what the end says.
        self._telling = threading.Lock()
        self._logged: tuple[str, int] | None = None
        self.log(f"dv {request.kind} {request.verb} {request.name} began")

    def log(self, line: str) -> None:
        """Add a line to the log. A log that can't be written is no reason to stop learning."""
        file = self._runs.log_of(self._id)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8", errors="backslashreplace") as opened:
                opened.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")
        except OSError:
            pass

    def beat(self, every_s: float) -> None:
        """Tell until the run is over that it is alive; stop it, as Ctrl-C would, when somebody asked for that."""
        asked = False
        while not asked and not self._over.wait(every_s):
            with self._telling:
                asked = not self._over.is_set() and self._beat_once()

    def _beat_once(self) -> bool:
        """Whether the run was asked to stop, and is being stopped."""
        from registry import RegistryError

        self._log_progress()
        try:
            asked = self._runs.beat(self._id, self.reached)
        except RegistryError as error:
            # The disk may have room again at the next beat.
            self.log(f"no heartbeat: {error}")
            return False
        if not asked or self._over.is_set():
            return False
        self.log("asked to stop")
        _interrupt()
        return True

    def end(self, error: BaseException | None) -> None:
        """Note how the run ended."""
        self._over.set()
        with self._telling:
            self._tell_end(error)

    def _tell_end(self, error: BaseException | None) -> None:
        from registry import RegistryError

        self._log_progress()
        stopped = isinstance(error, KeyboardInterrupt)
        message = None if error is None or stopped else f"{error}" or type(error).__name__
        outcome: Outcome = "finished" if error is None else "interrupted" if stopped else "failed"
        self.log(outcome + (f": {message}" if message else "") + (f": {self.adapter}" if self.adapter else ""))
        try:
            self._runs.end(self._id, outcome, message=message, reached=self.reached, adapter=self.adapter)
        except RegistryError as trouble:
            # The row then tells of an interrupted run, which is what it looks like from outside.
            self.log(f"the end could not be noted: {trouble}")

    def _log_progress(self) -> None:
        reached = self.reached
        if reached is not None and reached[:2] != self._logged:
            part, step, steps = reached
            self._logged = (part, step)
            self.log(f"{part} {step}/{steps}")


def _interrupt() -> None:
    """Raise KeyboardInterrupt in the main thread.

    Not by `_thread.interrupt_main`, which does nothing where Ctrl-C is ignored, as it is for what a script starts
    with `&`.
    """
    main = ctypes.c_ulong(threading.main_thread().ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(KeyboardInterrupt))


@contextmanager
def recorded(registry: Registry, request: LearnRequest) -> Iterator[Record]:
    """Record a run from here to the end of the block, whatever that is."""
    from registry.runs import BEAT_S

    record = Record(registry, request)
    heart = threading.Thread(target=record.beat, args=(BEAT_S,), name="heartbeat", daemon=True)
    heart.start()
    try:
        yield record
    except BaseException as error:
        record.end(error)
        raise
    else:
        record.end(None)
    finally:
        heart.join(timeout=1)

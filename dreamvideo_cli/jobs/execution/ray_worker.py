"""A worker on a Ray cluster: an actor that holds what its last unit needed, and works on one unit after another."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray

from dreamvideo_cli.jobs.execution.carrying import Mark, Parcel, is_here, moved, packed, put
from dreamvideo_cli.jobs.execution.units import Done, Place, Unit, worked_on
from engine.errors import InputError, JobError
from engine.versions import version_of_dv


@dataclass(frozen=True)
class Over:
    """What a unit's work ends with: `Done` without the unit."""

    value: Parcel | None
    error: Exception | None
    unprepared: bool


class Worker:
    """The actor. Its methods run in threads: `work` in one, what it is asked meanwhile in another."""

    def __init__(self, version: str) -> None:
        """Raises `InputError` where another version of dv is installed than the caller's."""
        if version != version_of_dv():
            raise InputError(f"dv {version_of_dv()} is installed there, and {version} here: install the same")
        self._place = Place()
        self._stopping = threading.Event()
        self._carried = TemporaryDirectory(prefix="dv-")
        self._places: dict[Mark, Path] = {}

    def lacks(self, marks: Sequence[Mark]) -> list[int]:
        """Which of these files, by number, are neither here nor were carried here."""
        return [number for number, mark in enumerate(marks) if mark not in self._places and not is_here(mark)]

    def work(
        self, unit: Unit, names: Mapping[Path, Mark], carried: Mapping[Mark, ray.ObjectRef[Mapping[str, bytes]]]
    ) -> Iterator[Parcel | Over]:
        """Work on a unit: give what it tells, and `Over` at the end. `names` are the files as the unit has them,
        `carried` the contents of those that aren't here."""
        for mark, contents in carried.items():
            self._places[mark] = Path(self._carried.name, str(len(self._places)), mark.path.name)
            put(ray.get(contents), self._places[mark])
        places = {path: self._places.get(mark, mark.path) for path, mark in names.items()}
        unit = moved(unit, lambda path: places.get(path, path))
        told: queue.SimpleQueue[Parcel | Over] = queue.SimpleQueue()
        with TemporaryDirectory(prefix="dv-") as folder:
            thread = threading.Thread(target=self._work, args=(unit, Path(folder), told), daemon=True)
            thread.start()
            while True:
                message = told.get()
                yield message
                if isinstance(message, Over):
                    thread.join()
                    return

    def stop(self) -> None:
        """Let the present unit end at its next step."""
        self._stopping.set()

    def _work(self, unit: Unit, folder: Path, told: queue.SimpleQueue[Parcel | Over]) -> None:
        def tell(message: object) -> None:
            told.put(packed(message, folder))
            if self._stopping.is_set():
                raise KeyboardInterrupt

        try:
            done = worked_on(unit, self._place, folder, tell)
            told.put(_over(done, folder))
        except BaseException as stop:
            told.put(Over(None, JobError(f"the work was stopped: {stop!r}"), False))


def _over(done: Done, folder: Path) -> Over:
    value = packed(done.value, folder) if done.error is None else None
    return Over(value, _portable(done.error), done.unprepared)


def _portable(error: Exception | None) -> Any:
    """An error as it can be carried: the same, or where it can't be, one that says the same."""
    if error is None:
        return None
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return JobError(f"{type(error).__name__}: {error}")

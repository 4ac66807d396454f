"""Units on a Ray cluster: of this machine, for as long as the job, or one that is there.

Each worker is an actor with a GPU of its own, or cores, that keeps its base loaded. Ray places workers and tells when
one dies; a unit whose worker died is given to another. This process alone gives out units and takes what comes of them.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from dreamvideo_cli.jobs.events import OnEvent, Warned
from dreamvideo_cli.jobs.execution.carrying import Mark, Parcel, contents_of, mark_of, unpacked
from dreamvideo_cli.jobs.execution.executor import NextUnit, OnMessage
from dreamvideo_cli.jobs.execution.ray_worker import Over, Worker
from dreamvideo_cli.jobs.execution.units import Done, Needs, Unit, WorkerDiedError
from dreamvideo_cli.wording import bytes_text
from engine.errors import InputError, JobError
from engine.versions import version_of_dv

_TRIES = 3
"""How often a unit is begun whose workers die, and how many workers may die one after another before they are ready."""
_ANSWERING_S = 5.0
"""How long a cluster has to answer at all."""
_STOPPING_S = 20.0
"""How long units that are stopped have to end: learning writes a snapshot."""


@dataclass(frozen=True)
class Resources:
    """What each of so many workers takes: cores, GPUs, and without these bytes of memory."""

    workers: int
    cores: int
    gpus: int
    memory_bytes: int


def resources_for(needs: Sequence[Needs], nodes: Sequence[Mapping[str, float]], workers: int | None) -> Resources:
    """The workers for units with these needs, on machines with these resources, as Ray has them: `workers`, or as many
    as there are GPUs, or without any as there are cores, and memory for.

    Raises `InputError` where no machine has room for one.
    """
    memory = max((one.memory_bytes for one in needs), default=0)
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus and any(one.base.device != "cpu" for one in needs):
        return Resources(min(workers or gpus, gpus, len(needs)), 1, 1, 0)
    rooms = [_rooms(node, memory) for node in nodes]
    if not any(rooms):
        raise InputError(f"no machine of the cluster has a core and {bytes_text(memory)} of memory for a worker")
    count = min(workers or sum(rooms), sum(rooms), len(needs))
    cores = min(int(node.get("CPU", 0)) // min(room, count) for node, room in zip(nodes, rooms, strict=True) if room)
    return Resources(count, cores, 0, memory)


def _rooms(node: Mapping[str, float], memory: int) -> int:
    """How many workers a machine has cores and memory for."""
    cores = int(node.get("CPU", 0))
    return min(cores, int(node.get("memory", 0) // memory)) if memory else cores


class _Worker:
    """An actor as this process sees it: starting, idle, asked which files it lacks, or working."""

    def __init__(self, resources: Resources) -> None:
        options: dict[str, Any] = {"num_cpus": resources.cores, "num_gpus": resources.gpus, "max_restarts": 0}
        if resources.memory_bytes:
            options["memory"] = resources.memory_bytes
        remote: Any = ray.remote  # whose overloads don't know groups
        self.actor = remote(concurrency_groups={"asked": 1}, **options)(Worker).remote(version_of_dv())
        self.unit: Unit | None = None
        self.deaths = 0
        self.loaded: Needs | None = None
        self.is_ready = False
        self._names: dict[Path, Mark] = {}
        self.pending: Any = self._lacks([])

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.unit is None

    def give(self, unit: Unit, deaths: int) -> None:
        """Give it a unit, at which so many workers died: first it tells which files it lacks."""
        self.unit, self.deaths = unit, deaths
        self._names = {path: mark_of(path) for path in unit.files}
        self.pending = self._lacks(list(dict.fromkeys(self._names.values())))

    def go_on(self, lacking: Sequence[int], contents: _Contents) -> None:
        """Let it work, with the files that it lacks."""
        assert self.unit is not None
        marks = list(dict.fromkeys(self._names.values()))
        carried = {marks[number]: contents.of(marks[number]) for number in lacking}
        self.pending = self.actor.work.options(num_returns="streaming").remote(self.unit, self._names, carried)

    def end_unit(self) -> Unit:
        """Take its unit off it."""
        unit, self.unit, self.pending = self.unit, None, None
        assert unit is not None
        return unit

    def stop(self) -> None:
        self.actor.stop.options(concurrency_group="asked").remote()

    def _lacks(self, marks: list[Mark]) -> Any:
        return self.actor.lacks.remote(marks)


class _Contents:
    """Contents of files in the cluster's memory, put there when the first worker lacks them."""

    def __init__(self) -> None:
        self._known: dict[Mark, Any] = {}

    def of(self, mark: Mark) -> Any:
        """A reference to the contents of a file or folder."""
        if mark not in self._known:
            self._known[mark] = ray.put(contents_of(mark.path))
        return self._known[mark]


class OnRay:
    """See `Executor`. Raises `InputError` where there is no cluster at the address."""

    def __init__(self, address: str | None, workers: int | None, on_event: OnEvent) -> None:
        self._address, self._asked_for, self._on_event = address, workers, on_event
        self._workers: list[_Worker] = []
        self._again: list[tuple[Unit, int]] = []  # and how many workers died at it
        self._failed_starts = 0
        self._resources: Resources | None = None
        self._contents = _Contents()
        self.at_once = 1

    def __enter__(self) -> OnRay:
        _connect(self._address)
        nodes = _nodes()
        gpus = sum(int(node.get("GPU", 0)) for node in nodes)
        self.at_once = self._asked_for or gpus or sum(int(node.get("CPU", 0)) for node in nodes) or 1
        return self

    def __exit__(self, *_: object) -> None:
        self._workers = []
        ray.shutdown()  # Ends the actors, and a cluster that was started for this job.

    def run(self, next_unit: NextUnit, on_message: OnMessage, *, needs: Sequence[Needs]) -> Generator[Done]:
        """See `Executor`."""
        if not needs:
            return
        self._resources = resources_for(needs, _nodes(), self._asked_for)
        whole = False
        try:
            while len(self._workers) < self._resources.workers:
                self._workers.append(_Worker(self._resources))
            ask = True
            while True:
                none_left = ask and self._hand_out(next_unit)
                ask = False
                waiting_for = [worker for worker in self._workers if worker.pending is not None]
                if not any(worker.unit for worker in self._workers) and (none_left or not waiting_for):
                    whole = True
                    return
                ready, _ = ray.wait([worker.pending for worker in waiting_for], num_returns=1, fetch_local=True)
                for worker in [worker for worker in waiting_for if worker.pending in ready]:
                    with TemporaryDirectory(prefix="dv-") as folder:
                        done = self._taken(worker, on_message, Path(folder))
                        if done is not None:
                            yield done
                    ask = ask or worker.is_idle or done is not None
        finally:
            if not whole:
                self._stop()

    def _hand_out(self, next_unit: NextUnit) -> bool:
        """Give units to who is idle; whether there was none for somebody."""
        for worker in self._workers:
            if worker.is_idle:
                unit, deaths = self._again.pop() if self._again else (next_unit(worker.loaded), 0)
                if unit is None:
                    return True
                worker.give(unit, deaths)
        return False

    def _taken(self, worker: _Worker, on_message: OnMessage, folder: Path) -> Done | None:
        """Take what came from a worker; `Done` where its unit is over."""
        try:
            if not isinstance(worker.pending, ray.ObjectRefGenerator):
                return self._answered(worker, ray.get(worker.pending))
            message = ray.get(next(worker.pending))
        except RayActorError as error:
            return self._died(worker, error)
        except RayTaskError as error:
            # Nothing that a unit raises comes so: the worker itself failed.
            cause = error.as_instanceof_cause()
            if worker.unit is None:
                raise
            return Done(worker.end_unit(), error=JobError(f"its worker failed: {_last_line(cause)}"))
        assert worker.unit is not None
        if isinstance(message, Parcel):
            on_message(worker.unit, unpacked(message, folder))
            return None
        assert isinstance(message, Over)
        worker.loaded = None if message.unprepared else worker.unit.needs
        value = None if message.value is None else unpacked(message.value, folder)
        return Done(worker.end_unit(), value, message.error, message.unprepared)

    def _answered(self, worker: _Worker, lacking: list[int]) -> Done | None:
        """A worker is ready, or told which files of its unit it lacks."""
        worker.is_ready, self._failed_starts = True, 0
        worker.pending = None
        if worker.unit is None:
            return None
        try:
            worker.go_on(lacking, self._contents)
        except OSError as error:
            return Done(worker.end_unit(), error=error)
        return None

    def _died(self, worker: _Worker, error: RayActorError) -> Done | None:
        """Replace a worker that died; its unit is given to another, unless too many died at it."""
        assert self._resources is not None
        self._workers.remove(worker)
        if worker.unit is None and not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts == _TRIES:
                raise JobError(f"no worker could be started on the Ray cluster: {_reason(error)}")
        self._workers.append(_Worker(self._resources))
        if worker.unit is None:
            return None
        unit, deaths = worker.end_unit(), worker.deaths + 1
        if deaths == _TRIES:
            why = "Perhaps there was too little memory: give fewer `workers`"
            return Done(unit, error=WorkerDiedError(f"its worker died, {_TRIES} times one after another. {why}"))
        self._on_event(Warned(f"a worker died ({_reason(error)}): its work is begun again by another"))
        self._again.append((unit, deaths))
        return None

    def _stop(self) -> None:
        """Let all units end at their next step, as after Ctrl-C, and then all workers."""
        with suppress(RayError):
            busy = [worker for worker in self._workers if isinstance(worker.pending, ray.ObjectRefGenerator)]
            for worker in busy:
                worker.stop()
            until = time.monotonic() + _STOPPING_S
            while busy and (left := until - time.monotonic()) > 0:
                ready, _ = ray.wait([worker.pending for worker in busy], num_returns=1, timeout=left)
                busy = [worker for worker in busy if worker.pending not in ready or not _is_over(worker)]
        for worker in self._workers:
            with suppress(RayError):
                ray.kill(worker.actor)
        self._workers = []


def _is_over(worker: _Worker) -> bool:
    try:
        return isinstance(ray.get(next(worker.pending)), Over)
    except (RayError, StopIteration):
        return True


def _connect(address: str | None) -> None:
    """Connect to a cluster, or start one of this machine alone. Raises `InputError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        try:
            ray.init("local", include_dashboard=False, **quiet)
        except Exception as error:  # of whatever class: Ray's own processes didn't start, or not in time
            ray.shutdown()
            raise JobError(f"Ray could not be started on this machine: {_first_line(error)}") from error
        return
    if "://" in address:
        raise InputError(f"`ray_address` {address} is for Ray's client: run dv on a machine of the cluster, with auto")
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _ANSWERING_S).close()  # Ray itself would wait for minutes.
        ray.init(address, **quiet)
    except (OSError, RayError, RuntimeError, ValueError) as error:
        raise InputError(
            f"there is no Ray cluster at `ray_address` {address} that lets dv in: {_first_line(error)}"
        ) from error


def _nodes() -> list[dict[str, float]]:
    """The resources of the cluster's machines, as Ray has them: CPU, GPU, bytes of memory."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _reason(error: RayActorError) -> str:
    """Why an actor died, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("The actor died because", "Worker exit", "The node died"))]
    return next(iter([*told, *lines]), type(error).__name__)


def _last_line(error: BaseException) -> str:
    """Where Ray tells of an exception in a worker, what it was comes last."""
    return f"{error}".strip().rpartition("\n")[2] or type(error).__name__


def _first_line(error: BaseException) -> str:
    return f"{error}".strip().partition("\n")[0] or type(error).__name__

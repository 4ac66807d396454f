"""Runs that take long, are alone with their name, and may be stopped and gone on with: learning, and tuning a base."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.bases import chosen_base
from dreamvideo_cli.jobs.events import Encoded, OnEvent, Step
from dreamvideo_cli.jobs.publishing import now
from dreamvideo_cli.jobs.recording import Record
from dreamvideo_cli.jobs.requests import LearnRequest, has_diverged, load_request, reached_text, save_reached
from engine.errors import DivergedError, EngineError, InputError
from registry.errors import RegistryError

if TYPE_CHECKING:
    from engine.training import Progress
    from registry import Registry

_TRIES, _BETWEEN_TRIES_S = 20, 0.05
_GO_LOWER = "Start anew with a lower learning rate"
_EXAMPLES = {
    "subject": ("images", "photos/ --class dog"),
    "motion": ("clips", "clips/"),
    "base": ("data set", "clips/"),
}


@contextmanager
def alone(registry: Registry, request: LearnRequest) -> Iterator[None]:
    """Hold the name for this process. Raises `InputError` where another one works on it."""
    from filelock import Timeout

    lock = registry.runs.lock(request.name)
    # Who only looks whether somebody works on the name holds it for a moment. Tries are counted, not seconds: on a
    # busy machine either may be kept waiting for long.
    for tries_left in reversed(range(_TRIES)):
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if not tries_left:
                raise InputError(
                    f"another process is working on {request.name} right now: wait for it, or choose another name"
                ) from None
            time.sleep(_BETWEEN_TRIES_S)
    try:
        yield
    finally:
        lock.release()


def check_one_way(*, resume: bool, restart: bool) -> None:
    """Raise `InputError` for a run that is to go on and to be dropped."""
    if resume and restart:
        raise InputError("`resume` goes on with a run and `restart` drops it: give one of them")


def settled(
    request: LearnRequest, folder: Path, registry: Registry, *, resume: bool, restart: bool, dry_run: bool
) -> LearnRequest:
    """The request that is to be carried out, an unfinished run of the name taken into account."""
    if restart:
        return _restarted(request, folder, registry)
    stored = load_request(folder)
    if stored is not None:
        _check_kind(request, stored)
        if resume:
            return request.continuing(stored)
        if not dry_run:
            raise InputError(
                f"there is an unfinished run of {stored.name}: it stopped {reached_text(folder)}.\n"
                + (_GO_LOWER if has_diverged(folder) else f"Go on with it: {stored.command('--resume')}\nOr start anew")
                + ": repeat this command with `restart`."
            )
    if resume and stored is None:
        raise InputError(f"there is no unfinished run of {request.name} to resume: run it without `resume`")
    if not request.sources:
        raise _without_sources(request)
    return _on_its_base(request, registry)


def _restarted(request: LearnRequest, folder: Path, registry: Registry) -> LearnRequest:
    """The request that is to be carried out from its start: without sources, the unfinished run's with the changes
    that this one asks for."""
    if request.sources:
        return _on_its_base(request, registry)
    stored = load_request(folder)
    if stored is None:
        raise _without_sources(request)
    _check_kind(request, stored)
    anew = request.restarting(stored)
    return _on_its_base(anew, registry) if "base" in request.given else replace(anew, started_at=now())


def _on_its_base(request: LearnRequest, registry: Registry) -> LearnRequest:
    return replace(request, base=chosen_base(registry, request.given.get("base")), started_at=now())


def _without_sources(request: LearnRequest) -> InputError:
    thing, example = _EXAMPLES[request.kind]
    return InputError(f"no {thing} given: dv {request.kind} {request.verb} {request.name} {example}")


def _check_kind(request: LearnRequest, stored: LearnRequest) -> None:
    if stored.kind != request.kind:
        raise InputError(
            f"the unfinished run of {stored.name} {stored.verb}s a {stored.kind}, not a {request.kind}.\n"
            f"Go on with it: {stored.command('--resume')}\nOr choose another name."
        )


class UnfinishedRun:
    """A run while it is carried out: it notes how far it came, and tells how to go on where it stops."""

    def __init__(
        self, request: LearnRequest, folder: Path, record: Record, snapshot_every: int, on_event: OnEvent
    ) -> None:
        self._request, self._folder, self._record = request, folder, record
        self._snapshot_every, self._on_event = snapshot_every, on_event
        self._fresh = not folder.exists()

    @contextmanager
    def carried_out(self) -> Iterator[None]:
        """What is done inside is the run. One that made no step leaves nothing behind."""
        diverged = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._request.save(self._folder)
            yield
        except KeyboardInterrupt as stop:
            stop.add_note(f"stopped {self._where}{self._way_on}")
            raise
        except DivergedError as error:
            diverged = True
            error.add_note(f"Going on would come there again. {_GO_LOWER}: repeat the command with `restart`.")
            raise
        except (EngineError, RegistryError, OSError) as error:
            if self._record.reached is not None:
                error.add_note(f"The run stopped {self._where}{self._way_on}")
                error.add_note("Or with other settings: repeat the command with `restart`.")
            raise
        finally:
            if self._record.reached is not None:
                save_reached(self._folder, self._record.reached, diverged=diverged)
            elif self._fresh:
                shutil.rmtree(self._folder, ignore_errors=True)

    def report(self, part: str, progress: Progress) -> None:
        """Note a step, and tell of it."""
        self._record.reached = (part, progress.step, progress.steps)
        if progress.step % self._snapshot_every == 0:
            save_reached(self._folder, self._record.reached)  # what a kill leaves behind should be true as well
        self._on_event(Step(part, progress.step, progress.steps, progress.seconds, loss=progress.loss))

    def encoding(self) -> Callable[[int, int], None]:
        """What is to be told how many frames are encoded, and of how many."""
        done, at = 0, time.perf_counter()

        def report(frames: int, total: int) -> None:
            nonlocal done, at
            moment = time.perf_counter()
            self._on_event(Encoded(frames, total, (moment - at) / max(1, frames - done)))
            done, at = frames, moment

        return report

    @property
    def _where(self) -> str:
        if self._record.reached is None:
            return "before the first step"
        part, step, steps = self._record.reached
        return f"at step {step} of {steps} ({part})"

    @property
    def _way_on(self) -> str:
        made_nothing = self._fresh and self._record.reached is None
        return "" if made_nothing else f"; go on with: {self._request.command('--resume')}"

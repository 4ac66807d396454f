"""Has the adapters learnt that a suite lacks. Of several processes that share a registry, one learns each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Encoded, Event, Note, OnEvent, Planned, Step, Warned
from dreamvideo_cli.jobs.execution.learning import LearnUnit, computed, tell_run, unit_of
from dreamvideo_cli.jobs.execution.units import Done, Unit
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.learning import Computation, Learning, learning
from dreamvideo_cli.jobs.progress import TotalProgress
from dreamvideo_cli.jobs.requests import LearnRequest, load_request
from dreamvideo_cli.jobs.suite.folder import learning_curve
from dreamvideo_cli.jobs.suite.planning import known_adapter
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, SuitePlan
from dreamvideo_cli.wording import duration_text
from engine.errors import InputError, ResumeError

if TYPE_CHECKING:
    from registry import Registry


class AdapterLearner:
    """Has what a suite's missing videos need learnt, as far as no other process is at it."""

    def __init__(self, plan: SuitePlan, registry: Registry, at_once: int, on_event: OnEvent) -> None:
        self._plan, self._registry, self._on_event = plan, registry, on_event
        self._adapters = plan.to_learn
        self._left = list(self._adapters)
        self._running: dict[int, tuple[Learning, Computation]] = {}
        self._again: list[LearnUnit] = []
        estimates, self._at_once = plan.estimates, min(at_once, max(1, len(self._adapters)))
        seconds = sum(map(estimates.learning, self._adapters)) + sum(map(estimates.composing, plan.to_make))
        self._clock = _Clock(seconds / at_once)
        self._progress = TotalProgress(on_event, "adapters", sum(map(estimates.steps, self._adapters)), self._at_once)

    @property
    def pending(self) -> dict[str, str]:
        """The names of the adapters that are still to be learnt, or are being learnt, by identity."""
        return {adapter.identity: adapter.request.name for adapter in self._adapters if not adapter.is_settled}

    def next_unit(self) -> LearnUnit | None:
        """The next adapter to learn; None where none is left but those that others are learning, which a later call
        takes up when they are learnt or given up."""
        if self._again:
            return self._again.pop()
        for adapter in tuple(self._left):
            lesson = self._lesson(adapter)
            unit = self._went_on(lesson, lesson.__next__)
            if unit is not None:
                return unit
        return None

    def take(self, unit: Unit, message: object) -> None:
        """Take what was told of an adapter that is being learnt."""
        tell_run(self._running[id(unit)][1], message)

    def take_end(self, done: Done) -> None:
        """Publish what was learnt; an adapter that failed keeps its error."""
        lesson, computation = self._running.pop(id(done.unit))

        def end() -> Computation:
            try:
                if done.error is not None:
                    return lesson.throw(done.error)
                result = computed(computation, done.value)
            except OSError as error:
                return lesson.throw(error)
            return lesson.send(result)

        unit = self._went_on(lesson, end)
        if unit is not None:
            self._again.append(unit)

    def stop(self, error: BaseException) -> None:
        """End all runs that aren't over, for that reason."""
        for lesson, _ in self._running.values():
            with suppress(BaseException):
                lesson.throw(error)
        self._running.clear()

    def _went_on(self, lesson: Learning, go_on: Callable[[], Computation]) -> LearnUnit | None:
        """What a lesson wants computed next; None where it is over."""
        try:
            computation = go_on()
        except StopIteration:
            return None
        unit = unit_of(computation, self._plan.needs)
        self._running[id(unit)] = lesson, computation
        return unit

    def _lesson(self, adapter: PlannedAdapter) -> Learning:
        """See to it that an adapter is learnt, unless another process does."""
        with self._claimed(adapter) as free:
            if not free:
                return None
            self._left.remove(adapter)
            name, guessed = adapter.request.name, self._plan.estimates.learning(adapter) / self._at_once
            # Since the suite was planned, another process may have learnt it.
            adapter.published = known_adapter(adapter, self._plan.fingerprint, self._registry)
            number = self._adapters.index(adapter)
            if adapter.published is not None:
                self._clock.dropped(guessed)
                self._progress.piece_done(number, self._plan.estimates.steps(adapter))
                return None
            left = self._clock.left_text
            self._on_event(Note(f"learning {name}, {number + 1} of {len(self._adapters)}, {left}"))
            began = time.perf_counter()
            try:
                adapter.published = yield from _learned(adapter, self._plan, self._registry, self._told(adapter))
            except Exception as error:
                adapter.error = reason_of(error)
                self._on_event(Warned(f"{name} failed: {adapter.error}"))
            self._progress.piece_done(number, self._plan.estimates.steps(adapter))
            self._clock.passed(guessed, (time.perf_counter() - began) / self._at_once)
        return adapter.published

    def _told(self, adapter: PlannedAdapter) -> OnEvent:
        """Where a run's events go. Of several at once the steps are told as those of one."""
        if self._at_once == 1:
            return self._on_event
        number = self._adapters.index(adapter)

        def tell(event: Event) -> None:
            if isinstance(event, Step):
                self._progress.step(number, f"{adapter.request.name}, {event.part}", event.seconds)
            elif not isinstance(event, Encoded):
                self._on_event(event)

        return tell

    @contextmanager
    def _claimed(self, adapter: PlannedAdapter) -> Iterator[bool]:
        """Give whether this process alone sees to the adapter's name, as long as it does."""
        from filelock import Timeout

        lock, free = self._registry.runs.claim(adapter.request.name), True
        try:
            lock.acquire()
        except Timeout:
            free = False
        try:
            yield free
        finally:
            if free:
                lock.release()


def _learned(adapter: PlannedAdapter, plan: SuitePlan, registry: Registry, on_event: OnEvent) -> Learning:
    """Learn as `learn` does; an unfinished run of the same request goes on."""
    unfinished, resumable = _unfinished(replace(adapter.request, base=plan.info.location), registry)
    with learning_curve(plan.folder, adapter, fresh=not resumable) as note_loss:

        def tell(event: Event) -> None:
            note_loss(event)
            if not isinstance(event, Planned):
                on_event(event)

        try:
            return (
                yield from learning(
                    adapter.request, registry, resume=resumable, restart=unfinished and not resumable, on_event=tell
                )
            )
        except ResumeError:
            # Its files or its base have changed since.
            return (yield from learning(adapter.request, registry, restart=True, on_event=tell))


def _unfinished(request: LearnRequest, registry: Registry) -> tuple[bool, bool]:
    """Whether there is an unfinished run of the request's name, and whether it is one of the same request."""
    try:
        stored = load_request(registry.run_folder(request.name))
        if stored is None:
            return False, False
        request.continuing(stored)
    except InputError:
        return True, False
    # Of the steps that it made already, none is kept later.
    every = request.settings.get("keep_every")
    return True, request.is_all_of(stored) and (every is None or every == stored.settings.get("keep_every"))


class _Clock:
    """The time left: what was guessed for the rest, at the pace of what is done."""

    def __init__(self, guessed: float) -> None:
        self._left, self._guessed, self._took = guessed, 0.0, 0.0

    def passed(self, guessed: float, seconds: float) -> None:
        """Something that was guessed at so many seconds is done."""
        self.dropped(guessed)
        self._guessed += guessed
        self._took += seconds

    def dropped(self, guessed: float) -> None:
        """Something that was guessed at so many seconds needn't be done any more."""
        self._left -= guessed

    @property
    def left_text(self) -> str:
        pace = self._took / self._guessed if self._guessed else 1.0
        return f"about {duration_text(self._left * pace)} left for the suite"

"""Learns the adapters that a suite lacks. Of several processes that share a registry, one learns each of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Event, Note, OnEvent, Planned, Warned
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.learning import learn
from dreamvideo_cli.jobs.requests import LearnRequest, load_request
from dreamvideo_cli.jobs.suite.folder import learning_curve
from dreamvideo_cli.jobs.suite.planning import known_adapter
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, SuitePlan
from dreamvideo_cli.wording import duration_text
from engine.errors import InputError, ResumeError

if TYPE_CHECKING:
    from engine.bases.base import Base
    from registry import Adapter, Registry


class AdapterLearner:
    """Learns what a suite's missing videos need, as far as no other process is at it."""

    def __init__(self, plan: SuitePlan, base: Base, registry: Registry, on_event: OnEvent) -> None:
        self._plan, self._base, self._registry, self._on_event = plan, base, registry, on_event
        self._adapters = plan.to_learn
        self._left = list(self._adapters)
        learning = sum(map(plan.estimates.learning, self._adapters))
        self._clock = _Clock(learning + sum(map(plan.estimates.composing, plan.to_make)))

    def learn_free(self) -> list[PlannedAdapter]:
        """Learn each adapter that is missing and that no other process learns; one that fails keeps its error.

        Gives those that others are learning: they are taken up by a later call, when they are learnt or given up.
        """
        busy = []
        for adapter in self._left:
            with self._claimed(adapter) as free:
                if free:
                    self._see_to(adapter)
                else:
                    busy.append(adapter)
        self._left = busy
        return busy

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

    def _see_to(self, adapter: PlannedAdapter) -> None:
        name, guessed = adapter.request.name, self._plan.estimates.learning(adapter)
        # Since the suite was planned, another process may have learnt it.
        adapter.published = known_adapter(adapter, self._plan.fingerprint, self._registry)
        if adapter.published is not None:
            self._clock.dropped(guessed)
            return
        number = self._adapters.index(adapter) + 1
        self._on_event(Note(f"learning {name}, {number} of {len(self._adapters)}, {self._clock.left_text}"))
        began = time.perf_counter()
        try:
            adapter.published = _learned(adapter, self._plan, self._base, self._registry, self._on_event)
        except Exception as error:
            adapter.error = reason_of(error)
            self._on_event(Warned(f"{name} failed: {adapter.error}"))
        self._clock.passed(guessed, time.perf_counter() - began)


def _learned(
    adapter: PlannedAdapter, plan: SuitePlan, base: Base, registry: Registry, on_event: OnEvent
) -> Adapter | None:
    """Learn as `learn` does; an unfinished run of the same request goes on."""
    unfinished, resumable = _unfinished(replace(adapter.request, base=plan.info.location), registry)
    with learning_curve(plan.folder, adapter, fresh=not resumable) as note_loss:

        def tell(event: Event) -> None:
            note_loss(event)
            if not isinstance(event, Planned):
                on_event(event)

        try:
            return learn(
                adapter.request, registry, resume=resumable, restart=unfinished and not resumable, base=base,
                on_event=tell,
            )  # fmt: skip
        except ResumeError:
            # Its files or its base have changed since.
            return learn(adapter.request, registry, restart=True, base=base, on_event=tell)


def _unfinished(request: LearnRequest, registry: Registry) -> tuple[bool, bool]:
    """Whether there is an unfinished run of the request's name, and whether it is one of the same request."""
    try:
        stored = load_request(registry.run_folder(request.name))
        if stored is None:
            return False, False
        request.continuing(stored)
    except InputError:
        return True, False
    return True, request.is_all_of(stored)


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

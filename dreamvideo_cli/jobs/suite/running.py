"""`dv suite run`: learns what is missing, then makes and scores every video that isn't whole, the base loaded once."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dreamvideo_cli.jobs.composing import Job, Wish, make, prepare
from dreamvideo_cli.jobs.learning import Choices, learned
from dreamvideo_cli.jobs.requests import Request, load_request
from dreamvideo_cli.jobs.results import results_of
from dreamvideo_cli.jobs.suite.folder import Keeper, curve_of, learning_curve, references_of
from dreamvideo_cli.jobs.suite.planning import Forecasts, Lesson, SuitePlan, Task
from dreamvideo_cli.jobs.targets import slug
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.progress import Meter, Together
from dreamvideo_cli.wording import duration_text
from engine.errors import EngineError, InputError, ResumeError
from engine.evaluation.suites.results import Cell, CellResult, Part
from registry.errors import RegistryError

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.evaluation.scoring import Scorer
    from registry import Registry

VIDEOS = "videos"
_LONGEST = 60


def carry_out(plan: SuitePlan, forecasts: Forecasts, out: Out) -> None:
    """Learn, compose and score what is missing. What fails is noted with its cells, and the rest goes on.

    Raises the engine's errors where nothing can be made at all: no base, no judges.
    """
    from engine.bases.load import choose_device
    from engine.evaluation.judges import Judges
    from engine.evaluation.scoring import Scorer

    keeper = Keeper(plan, out)
    if not plan.waiting:
        return
    judges = Judges(dict(zip(("clip", "dino"), plan.judges, strict=True)), device=str(choose_device(plan.device)))
    scorer = Scorer(judges)
    for judge in ("clip", "dino"):
        judges[judge]  # Where a judge is missing, no video is of use.
    _learn(plan, forecasts, out)
    with keeper:
        _compose(plan, forecasts, scorer, keeper, out)


def _learn(plan: SuitePlan, forecasts: Forecasts, out: Out) -> None:
    """Learn each lesson; one that fails keeps its error."""
    lessons = plan.to_learn
    clock = _Clock(sum(map(forecasts.of_lesson, lessons)) + sum(map(forecasts.of_task, plan.waiting)))
    for number, lesson in enumerate(lessons, 1):
        request = lesson.request
        out.note(f"learning {request.name}, {number} of {len(lessons)}, {clock.left_text}")
        began = time.perf_counter()
        try:
            lesson.adapter = _learned(lesson, plan, out)
        except Exception as error:
            lesson.error = _reason(error)
            out.warn(f"{request.name} failed: {lesson.error}")
        clock.passed(forecasts.of_lesson(lesson), time.perf_counter() - began)


def _learned(lesson: Lesson, plan: SuitePlan, out: Out) -> Any:
    """Learn by the way of `dv subject learn`; an unfinished run of the same lesson goes on."""
    from registry import Registry

    with Registry.open() as registry:
        unfinished, resumable = _unfinished(replace(lesson.request, base=plan.info.location), registry)
    with learning_curve(plan.folder, lesson, fresh=not resumable) as on_step:
        choices = Choices(announce=False, on_step=on_step, resume=resumable, restart=unfinished and not resumable)
        try:
            return learned(lesson.request, choices, out)
        except ResumeError:
            # Its files or its base have changed since.
            return learned(lesson.request, replace(choices, resume=False, restart=True), out)


def _unfinished(request: Request, registry: Registry) -> tuple[bool, bool]:
    """Whether there is an unfinished run of the request's name, and whether it is one of the same request."""
    try:
        stored = load_request(registry.run_folder(request.name))
        if stored is None:
            return False, False
        request.continuing(stored)
    except InputError:
        return True, False
    return True, request.is_all_of(stored)


def _compose(plan: SuitePlan, forecasts: Forecasts, scorer: Scorer, keeper: Keeper, out: Out) -> None:
    """Make and score the cells that aren't whole, in the suite's order."""
    from engine.bases.load import load_base

    waiting = plan.waiting
    base = load_base(plan.info.location, device=plan.device, dtype=plan.suite.dtype or "fp32")
    with Meter(out) as meter:
        progress = Together(meter, "videos", sum(task.config.steps for task in waiting))
        for number, task in enumerate(waiting, 1):
            remark = f"{number} of {len(waiting)}, {cell_text(task.cell)}"
            maker = _Maker(plan, task, forecasts, partial(progress.step, number, remark))
            try:
                task.after = maker.made(base, scorer)
            except Exception as error:
                task.after = maker.failed(_reason(error))
                if not any(lesson.error for lesson in task.lessons.values()):  # of those was told before
                    out.warn(f"{cell_text(task.cell)} failed: {task.after.error}")
            progress.job_done(number, task.config.steps)
            keeper.keep(task)


class _Maker:
    """Makes one cell: its video, if that isn't there, and its scores."""

    def __init__(self, plan: SuitePlan, task: Task, forecasts: Forecasts, on_step: Callable[[float], None]) -> None:
        self._plan, self._task, self._forecasts, self._on_step = plan, task, forecasts, on_step
        self._made: dict[str, Any] = {}

    def made(self, base: Base, scorer: Scorer) -> CellResult:
        """Raises what composing and scoring raise, and `InputError` where a lesson was not learnt."""
        from engine.data.files import sha256_of
        from registry import Registry

        plan, task = self._plan, self._task
        for kind, lesson in task.lessons.items():
            if lesson.adapter is None:
                raise InputError(f"its {kind} wasn't learnt: {lesson.error}")
        video = plan.folder / video_of(task.cell)
        video.parent.mkdir(parents=True, exist_ok=True)
        with Registry.open() as registry:
            job = prepare(self._wish(video), registry, Out(quiet=True))
        self._note(job)
        began = time.perf_counter()
        newest = task.newest
        if results_of(job)[0].is_there(newest.sha256 if newest else None):
            # It only lacks scores: a run was stopped before it had any, or they are to be others.
            self._made["seconds"] = newest.seconds if newest else None
        else:
            for _ in make(job, base, lambda target, step, steps, seconds: self._on_step(seconds)):
                pass
            self._made["seconds"] = round(time.perf_counter() - began, 3)
        self._made |= {"video": video_of(task.cell), "sha256": sha256_of(video)}
        scores = scorer.score(video, task.wanted)
        references = references_of(plan.folder, task)
        return self._result("made", references, scores=scores.values, curves=scores.curves)

    def failed(self, message: str) -> CellResult:
        """What came of a cell that failed: all that is known of it."""
        try:
            references = references_of(self._plan.folder, self._task)
        except (EngineError, OSError):  # maybe what it failed of
            references = (), ()
        return self._result("failed", references, error=message)

    def _wish(self, video: Path) -> Wish:
        task, suite = self._task, self._plan.suite
        ids = {kind: lesson.adapter.id for kind, lesson in task.lessons.items() if lesson.adapter is not None}
        return Wish(
            prompt=task.said, subject=ids.get("subject"), motion=ids.get("motion"), appearance=None,
            seed=task.cell.seed, count=1, output=video, contact_sheet=None, force=True,
            base=self._plan.base, allow_other_base=False, device=self._plan.device,
            dtype=suite.dtype, deterministic=False, options=task.options,
        )  # fmt: skip

    def _note(self, job: Job) -> None:
        """What made the cell: the settings of its composition, and the adapters."""
        self._made["settings"] = _told(job.settings.values(), job.settings.origins)
        self._made["parts"] = {kind: self._part(lesson) for kind, lesson in self._task.lessons.items()}

    def _part(self, lesson: Lesson) -> Part:
        adapter = lesson.adapter
        assert adapter is not None
        return Part(
            adapter=adapter.id,
            sha256=adapter.file_hash,
            method=adapter.method,
            settings=_told(adapter.hyperparameters, adapter.origins),
            trainable_parameters=self._forecasts.parameters(lesson),
            losses=curve_of(self._plan.folder, lesson),
        )

    def _result(self, state: Any, references: tuple[tuple[str, ...], tuple[str, ...]], **more: Any) -> CellResult:
        plan, task = self._plan, self._task
        return CellResult(
            cell=task.cell, state=state, base=plan.info.location.name, base_fingerprint=plan.fingerprint,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"), identity=task.identity,
            references=references[0], reference_clips=references[1], **self._made, **more,
        )  # fmt: skip


class _Clock:
    """The time left: what was guessed for the rest, at the pace of what is done."""

    def __init__(self, guessed: float) -> None:
        self._left, self._guessed, self._took = guessed, 0.0, 0.0

    def passed(self, guessed: float, seconds: float) -> None:
        """Something that was guessed at so many seconds is done."""
        self._left -= guessed
        self._guessed += guessed
        self._took += seconds

    @property
    def left_text(self) -> str:
        pace = self._took / self._guessed if self._guessed else 1.0
        return f"about {duration_text(self._left * pace)} left for the suite"


def video_of(cell: Cell) -> str:
    """Where a cell's video is, from the suite's folder: readable, and no other cell's, however the suite changes."""
    digest = hashlib.sha256(repr(cell.key).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    words = slug(" ".join(text for text in (cell.subject, cell.motion, cell.prompt) if text))
    return f"{VIDEOS}/{slug(cell.method)}/{words[:_LONGEST]}-{cell.seed}-{digest}.mp4"


def cell_text(cell: Cell) -> str:
    """A cell in a few words: `fox, zigzag by lora, "a * on grass", seed 1`."""
    things = ", ".join(thing for thing in (cell.subject, cell.motion) if thing)
    return f'{things + " " if things else ""}by {cell.method}, "{cell.prompt}", seed {cell.seed}'


def _told(values: Mapping[str, Any], origins: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value, "origin": origins.get(name)} for name, value in values.items()}


def _reason(error: Exception) -> str:
    """Why something failed, whatever it was: a memory that is full or a library's complaint concerns one cell too.

    Raises what stops the whole suite: Ctrl-C, and that nobody reads what `dv` prints.
    """
    if isinstance(error, typer.Exit) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        raise error
    if isinstance(error, EngineError | RegistryError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]

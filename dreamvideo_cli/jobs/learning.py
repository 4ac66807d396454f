"""One learning run from request to published adapter: the same for subjects and motions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import Note, OnEvent, Planned, Warned, ignore
from dreamvideo_cli.jobs.execution.units import Loading
from dreamvideo_cli.jobs.publishing import adapter_row, describe_steps, effect_text, source_row
from dreamvideo_cli.jobs.recording import Record, recorded
from dreamvideo_cli.jobs.requests import LearnRequest
from dreamvideo_cli.jobs.unfinished import UnfinishedRun, alone, check_one_way, settled
from engine.bases.location import BaseInfo, inspect_base
from engine.errors import DivergedError, InputError, ResumeError
from engine.processes import ALONE, Lead, Processes, connected, leading
from engine.prompts import check_text

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.estimating import Estimate
    from engine.held_out import Effect
    from engine.learning import Learned
    from engine.planning import MotionPlan, SubjectPlan
    from engine.training import Progress
    from registry import Adapter, Registry


@dataclass(frozen=True)
class LearningPlan:
    """A request whose every source and setting was checked. `id` is what the adapter will be called."""

    id: str
    request: LearnRequest
    plan: SubjectPlan | MotionPlan
    info: BaseInfo

    @property
    def offload(self) -> bool:
        """Whether the denoiser's blocks are kept off the GPU."""
        return bool(self.request.given.get("offload", False))

    @property
    def loading(self) -> Loading:
        """The base as this run needs it loaded."""
        return Loading(self.info.location, self.request.device, self.request.dtype, offload=self.offload)

    @cached_property
    def estimate(self) -> Estimate:
        """What the run will take. Loads torch, and the base's layout without its weights."""
        from engine.estimating import estimate

        return estimate(
            self.plan, self.info.location, device=self.request.device, dtype=self.request.dtype, offload=self.offload
        )


@dataclass(frozen=True)
class Computed:
    """What was learnt, and what is known of the base that it was learnt on."""

    learned: Learned
    base_fingerprint: str
    device: str


@dataclass(frozen=True)
class Computation:
    """The part of a run that needs neither the registry nor the process that the run is of: from the plan to the
    adapter's files in `staged`. `run` is the folder of its snapshots; the callbacks are to be told how it goes."""

    planned: LearningPlan
    run: Path
    staged: Path
    on_progress: Callable[[str, Progress], None]
    on_encoding: Callable[[int, int], None]

    def compute(self, base: Base | None) -> Computed:
        """Do it here, on `base` or on one that is loaded here."""
        used = self.planned.loading.load() if base is None else base.shared()  # learning lets the encoders go
        return computed_on(used, self.planned.plan, self.run, self.staged, self.on_progress, self.on_encoding)


def computed_on(
    base: Base,
    plan: SubjectPlan | MotionPlan,
    run: Path,
    staged: Path,
    on_progress: Callable[[str, Progress], None],
    on_encoding: Callable[[int, int], None],
) -> Computed:
    """Learn on a base, which lets its encoders go; see `Computation`."""
    from engine.learning import learn_planned

    learned = learn_planned(plan, base, staged, run=run, on_progress=on_progress, on_encoding=on_encoding)
    return Computed(learned, base.fingerprint, str(base.device))


Learning = Generator[Computation, Computed, "Adapter | None"]
"""A run that waits for its computation: it gives that out, takes what came of it (`send`, or `throw` for an error), and
returns the adapter that it published."""


def learn(
    request: LearnRequest,
    registry: Registry,
    *,
    resume: bool = False,
    restart: bool = False,
    dry_run: bool = False,
    base: Base | None = None,
    on_event: OnEvent = ignore,
) -> Adapter | None:
    """Plan, tell the plan, learn and publish; give the adapter, or None for a dry run.

    `base` is the request's base where that is loaded already; it is as it was afterwards. Ctrl-C is let through, with
    a note of how to go on. Processes that were started together learn one adapter together: the first does all of
    this, the others share its steps' samples, and give the same or None, where it says why. Raises the engine's and the
    registry's errors.
    """
    from registry import check_new_name

    check_one_way(resume=resume, restart=restart)
    request = replace(request, name=check_new_name(request.name))
    with nullcontext(ALONE) if base is not None else connected(request.device) as processes:
        if not processes.is_first:
            return _follow(registry, processes)
        lead = _Lead(registry, processes, on_event)
        return _computed_here(lead.learn(request, resume=resume, restart=restart, dry_run=dry_run), base)


def learning(
    request: LearnRequest, registry: Registry, *, resume: bool = False, restart: bool = False, on_event: OnEvent
) -> Learning:
    """`learn`, for who lets the computation be done elsewhere."""
    return _Lead(registry, ALONE, on_event).learn(request, resume=resume, restart=restart, dry_run=False)


def _computed_here(run: Learning, base: Base | None) -> Adapter | None:
    try:
        computation = next(run)
        while True:
            try:
                computed = computation.compute(base)
            except BaseException as error:
                computation = run.throw(error)
            else:
                computation = run.send(computed)
    except StopIteration as end:
        adapter: Adapter | None = end.value
        return adapter


class _Lead:
    """The process that learns, or of several the one that decides, writes and tells."""

    def __init__(self, registry: Registry, processes: Processes, on_event: OnEvent) -> None:
        self._registry, self._processes, self._on_event = registry, processes, on_event

    def learn(self, request: LearnRequest, *, resume: bool, restart: bool, dry_run: bool) -> Learning:
        """See the function `learn`."""
        with leading(self._processes) as lead:
            lead.made = adapter = yield from self._learn(lead, request, resume=resume, restart=restart, dry_run=dry_run)
        return adapter

    def _learn(self, lead: Lead, request: LearnRequest, *, resume: bool, restart: bool, dry_run: bool) -> Learning:
        registry, asked = self._registry, request.device
        version = registry.next_version(request.name, request.adapter_kind)
        folder = registry.run_folder(request.name)
        with alone(registry, request):
            request = settled(request, folder, registry, resume=resume, restart=restart, dry_run=dry_run)
            planned = _planned(f"{request.name}@{version}", request)
            if planned.offload:
                _check_offload(planned)
            _check_shared(planned, self._processes, asked)
            self._on_event(Planned(planned))
            if dry_run:
                return None
            if restart:
                shutil.rmtree(folder, ignore_errors=True)
            with recorded(registry, request) as record:
                lead.begin(request)
                adapter = yield from _Run(planned, folder, registry, record, self._on_event).publish()
                record.adapter = adapter.id
            shutil.rmtree(folder, ignore_errors=True)
        return adapter


def _follow(registry: Registry, processes: Processes) -> Adapter | None:
    """Share the steps of what the first process learns; give what it published, None where nothing came of it."""
    request: LearnRequest | None = processes.agreed(None)
    if request is None:
        return None
    from engine.learning import learn_planned

    planned = _planned(request.name, request)
    try:
        with TemporaryDirectory() as nowhere:
            learn_planned(planned.plan, planned.loading.load(), Path(nowhere), run=registry.run_folder(request.name))
    except (DivergedError, ResumeError):
        return None  # All processes see it at once.
    adapter: Adapter | None = processes.agreed(None)
    return adapter


def _planned(id: str, request: LearnRequest) -> LearningPlan:
    assert request.base is not None
    info = inspect_base(request.base)
    return LearningPlan(id, request, plan_sources(request, info), info)


def _check_shared(planned: LearningPlan, processes: Processes, asked: str | None) -> None:
    """Raise `InputError` where several processes can't share the run."""
    config = planned.plan.settings.config
    processes.share(config.batch_size, config.gradient_accumulation)
    if processes.size > 1 and planned.request.device != asked:
        raise InputError(
            f"the run was started with `device` {planned.request.device}: several processes need it given again"
        )


def _check_offload(planned: LearningPlan) -> None:
    """Raise `InputError` where nothing can be offloaded."""
    from engine.bases.load import choose_compute
    from engine.planning import check_offload

    choose_compute(planned.request.device, planned.request.dtype, offload=True)
    check_offload(planned.plan)


def plan_sources(request: LearnRequest, info: BaseInfo) -> SubjectPlan | MotionPlan:
    """What a request comes to on a base. Raises `InputError` for what can't be used."""
    from engine.methods.table import DEFAULT
    from engine.planning import plan_motion, plan_subject

    given, sources = request.given, [Path(source) for source in request.sources]
    for field in ("class", "prompt"):
        check_text(given.get(field, ""), f"`{field}`")
    method = given.get("method", DEFAULT)
    if request.kind == "subject":
        if "class" not in given:
            raise InputError("`class_word` is missing: give the word for what the subject is, as in `class_word` dog")
        masks = Path(given["masks"]) if "masks" in given else None
        return plan_subject(sources, given["class"], info=info, masks=masks, options=request.settings, method=method)
    return plan_motion(
        sources,
        given.get("prompt"),
        info=info,
        start=given.get("start", 0.0),
        end=given.get("end"),
        source_fps=given.get("source_fps"),
        options=request.settings,
        method=method,
    )


class _Run:
    """A run from here to its adapter. One that made no step leaves nothing behind."""

    def __init__(
        self, planned: LearningPlan, folder: Path, registry: Registry, record: Record, on_event: OnEvent
    ) -> None:
        self._planned, self._request, self._plan = planned, planned.request, planned.plan
        self._folder, self._registry, self._record, self._on_event = folder, registry, record, on_event

    def publish(self) -> Generator[Computation, Computed, Adapter]:
        """Have the run computed, and publish what was learnt."""
        every = self._plan.settings.config.snapshot_every
        run = UnfinishedRun(self._request, self._folder, self._record, every, self._on_event)
        with run.carried_out():
            with self._registry.staging() as staged:
                computed = yield Computation(self._planned, self._folder, staged, run.report, run.encoding())
                describe_steps(staged)
                row = adapter_row(
                    self._request, self._plan, computed.learned, base_name=self._planned.info.location.name,
                    base_fingerprint=computed.base_fingerprint, device=computed.device,
                )  # fmt: skip
                adapter = self._registry.publish(staged, row, [source_row(source) for source in self._plan.sources])
            self._tell_effect(computed.learned.effect)
        return adapter

    def _tell_effect(self, effect: Effect | None) -> None:
        if effect is None:
            return
        text = effect_text(effect)
        self._record.log(text)
        self._on_event(Warned(text) if effect.is_nothing else Note(text))

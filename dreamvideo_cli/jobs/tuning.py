"""Tuning a base from request to registered base (paper, appendix A): another base under a name of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.bases import fingerprint_of
from dreamvideo_cli.jobs.events import OnEvent, Planned, Step, Warned, ignore
from dreamvideo_cli.jobs.publishing import LIBRARIES, now
from dreamvideo_cli.jobs.recording import Record, recorded
from dreamvideo_cli.jobs.requests import LearnRequest
from dreamvideo_cli.jobs.unfinished import UnfinishedRun, alone, check_one_way, settled
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.errors import DivergedError, InputError, ResumeError
from engine.processes import Lead, Processes, connected, leading
from engine.versions import version_of, version_of_dv

if TYPE_CHECKING:
    from engine.estimating import Estimate
    from engine.tuning.planning import TuningPlan
    from engine.tuning.training import Tuned
    from registry import BaseRow, Registry

OPENING = "opening clips"
"""What progress calls the time in which every clip is opened once."""


@dataclass(frozen=True)
class PlannedTuning:
    """A request whose every clip and setting was checked."""

    request: LearnRequest
    plan: TuningPlan
    info: BaseInfo

    @cached_property
    def estimate(self) -> Estimate:
        """What the run will take. Loads torch, and the base's layout without its weights."""
        from engine.tuning.estimating import estimate_tuning

        return estimate_tuning(self.plan, self.info.location, device=self.request.device, dtype=self.request.dtype)


def tune_base(
    request: LearnRequest,
    registry: Registry,
    *,
    resume: bool = False,
    restart: bool = False,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> BaseRow | None:
    """Plan, tell the plan, train, and register the new base; give it, or None for a dry run.

    Ctrl-C is let through, with a note of how to go on. Processes that were started together share each step's clips,
    as in learning. Raises the engine's and the registry's errors; where it does, no base was added.
    """
    from registry import check_new_name

    check_one_way(resume=resume, restart=restart)
    request = replace(request, name=check_new_name(request.name))
    with connected(request.device) as processes:
        if not processes.is_first:
            return _follow(registry, processes)
        return _Lead(registry, processes, on_event).tune(request, resume=resume, restart=restart, dry_run=dry_run)


class _Lead:
    """The first of the processes: it decides, writes and tells."""

    def __init__(self, registry: Registry, processes: Processes, on_event: OnEvent) -> None:
        self._registry, self._processes, self._on_event = registry, processes, on_event

    def tune(self, request: LearnRequest, *, resume: bool, restart: bool, dry_run: bool) -> BaseRow | None:
        """See `tune_base`."""
        with leading(self._processes) as lead:
            lead.made = made = self._tune(lead, request, resume=resume, restart=restart, dry_run=dry_run)
        return made

    def _tune(self, lead: Lead, request: LearnRequest, *, resume: bool, restart: bool, dry_run: bool) -> BaseRow | None:
        registry = self._registry
        registry.check_new_base(request.name)
        folder = registry.run_folder(request.name)
        with alone(registry, request):
            request = settled(request, folder, registry, resume=resume, restart=restart, dry_run=dry_run)
            planned = self._planned(request)
            config = planned.plan.settings.config
            self._processes.share(config.batch_size, config.gradient_accumulation)
            self._on_event(Planned(planned))
            if dry_run:
                return None
            if restart:
                shutil.rmtree(folder, ignore_errors=True)
            with recorded(registry, request) as record:
                lead.begin(planned)
                made = self._carried_out(planned, folder, record)
                record.adapter = made.name
            shutil.rmtree(folder, ignore_errors=True)
        return made

    def _planned(self, request: LearnRequest) -> PlannedTuning:
        from engine.bases.load import choose_compute
        from engine.tuning.planning import plan_tuning
        from engine.tuning.training import check_dtype

        check_dtype(request.dtype)
        choose_compute(request.device, request.dtype)
        if len(request.sources) != 1:
            raise InputError(f"a base is tuned on one data set, and {len(request.sources)} were given")
        assert request.base is not None
        info = inspect_base(request.base)
        (data,) = request.sources
        plan = plan_tuning(Path(data), info=info, options=request.settings, on_clip=self._opening())
        return PlannedTuning(request, plan, info)

    def _opening(self) -> Callable[[int, int], None]:
        at = time.perf_counter()

        def report(done: int, total: int) -> None:
            nonlocal at
            moment = time.perf_counter()
            self._on_event(Step(OPENING, done, total, moment - at))
            at = moment

        return report

    def _carried_out(self, planned: PlannedTuning, folder: Path, record: Record) -> BaseRow:
        from engine.tuning.training import PART, load_for_tuning, tune

        request, plan, registry = planned.request, planned.plan, self._registry
        run = UnfinishedRun(request, folder, record, plan.settings.config.snapshot_every, self._on_event)
        with run.carried_out(), registry.base_staging() as staged:
            base = load_for_tuning(planned.info.location, device=planned.request.device, dtype=planned.request.dtype)
            tuned = tune(plan, base, staged, run=folder, on_progress=lambda progress: run.report(PART, progress))
            found = fingerprint_of(BaseLocation(request.name, str(staged)))
            if found == base.fingerprint:
                self._on_event(
                    Warned("the new base is the same as its parent to half precision: nothing was learnt to speak of")
                )
            lineage = lineage_of(planned, tuned, parent=base.fingerprint, device=str(base.device))
            return registry.publish_base(staged, request.name, fingerprint=found, lineage=lineage)


def _follow(registry: Registry, processes: Processes) -> BaseRow | None:
    """Share the steps of what the first process tunes; give what it registered, None where nothing came of it."""
    planned: PlannedTuning | None = processes.agreed(None)
    if planned is None:
        return None
    from engine.tuning.training import load_for_tuning, tune

    base = load_for_tuning(planned.info.location, device=planned.request.device, dtype=planned.request.dtype)
    try:
        with TemporaryDirectory() as nowhere:
            tune(planned.plan, base, Path(nowhere), run=registry.run_folder(planned.request.name))
    except (DivergedError, ResumeError):
        return None  # All processes see it at once.
    made: BaseRow | None = processes.agreed(None)
    return made


def lineage_of(planned: PlannedTuning, tuned: Tuned, *, parent: str, device: str) -> dict[str, Any]:
    """Where a tuned base comes from: its parent, the data, every setting with who said it, and what computed it. Each
    clip's own hash and caption are in the base's folder, in `learning/clips.jsonl`."""
    plan = planned.plan
    return {
        "parent": {"name": planned.info.location.name, "fingerprint": parent},
        "data": {"path": str(plan.data), "clips": len(plan.clips), "sha256": plan.data_hash},
        "settings": plan.settings.values(),
        "origins": dict(plan.settings.origins),
        "parameters": tuned.parameters,
        "steps": tuned.steps,
        "final_loss": tuned.final_loss,
        "device": device,
        "dtype": planned.request.dtype,
        "library_versions": {name: version_of(name) for name in LIBRARIES},
        "dv_version": version_of_dv(),
        "started_at": planned.request.started_at,
        "ended_at": now(),
    }

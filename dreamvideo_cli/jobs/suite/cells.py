"""One cell of a suite: its video, if that isn't there, and its scores."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.composing import ComposePlan, ComposeRequest, make_files, placed_prompt, settings_for
from dreamvideo_cli.jobs.events import OnEvent
from dreamvideo_cli.jobs.expected_files import expected_files
from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.jobs.suite.folder import curve_of, references_of
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, PlannedCell, SuitePlan
from dreamvideo_cli.jobs.targets import Target, slug
from engine.errors import EngineError, InputError
from engine.evaluation.suites.results import Cell, CellAdapter, CellResult

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.evaluation.scoring import Metric, Scorer
    from registry import Adapter, Registry

VIDEOS = "videos"
_LONGEST = 60


class CellMaker:
    """Makes and scores one cell."""

    def __init__(
        self,
        plan: SuitePlan,
        cell: PlannedCell,
        registry: Registry,
        on_step: Callable[[float], None],
        on_event: OnEvent,
    ) -> None:
        self._plan, self._cell, self._registry = plan, cell, registry
        self._on_step, self._on_event = on_step, on_event
        self._made: dict[str, Any] = {}

    def made(self, base: Base, scorer: Scorer) -> CellResult:
        """Raises what composing and scoring raise, and `InputError` where an adapter was not learnt."""
        from engine.data.files import sha256_of

        plan, cell = self._plan, self._cell
        composition = self._composition()
        video = composition.targets[0].path
        self._note(composition)
        video.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        newest = cell.newest
        if expected_files(composition)[0].is_there(newest.sha256 if newest else None):
            # It only lacks scores: a run was stopped before it had any, or they are to be others.
            self._made["seconds"] = newest.seconds if newest else None
        else:
            for _ in make_files(composition, base, self._registry, self._step, self._on_event):
                pass
            self._made["seconds"] = round(time.perf_counter() - began, 3)
        self._made |= {"video": video_of(cell.cell), "sha256": sha256_of(video)}
        return self._result(
            "made", references_of(plan.folder, cell), **_scored(plan, cell, scorer, self._made["sha256"])
        )

    def failed(self, message: str) -> CellResult:
        """What came of a cell that failed: all that is known of it."""
        try:
            references = references_of(self._plan.folder, self._cell)
        except (EngineError, OSError):  # maybe what it failed of
            references = (), ()
        return self._result("failed", references, error=message)

    def _step(self, _target: Target, _step: int, _steps: int, seconds: float) -> None:
        self._on_step(seconds)

    def _composition(self) -> ComposePlan:
        """The cell's composition, of what the suite's plan found already."""
        plan, cell = self._plan, self._cell
        adapters: dict[AdapterKind, Adapter] = {}
        for kind, adapter in cell.adapters.items():
            if adapter.published is None:
                raise InputError(f"its {kind} wasn't learnt: {adapter.error}")
            adapters[kind] = adapter.published
        request = ComposeRequest(
            cell.prompt,
            subject=adapters["subject"].id if "subject" in adapters else None,
            motion=adapters["motion"].id if "motion" in adapters else None,
            seed=cell.cell.seed,
            base=plan.base,
            device=plan.device,
            dtype=plan.suite.dtype,
            settings=cell.settings,
        )
        return ComposePlan(
            request,
            placed_prompt(cell.prompt, adapters.get("subject")),
            plan.info.location,
            tuple(adapters.values()),
            tuple(self._registry.path(adapter) for adapter in adapters.values()),
            settings_for(plan.info.recommended.get("compose", {}), adapters.get("motion"), cell.settings),
            (Target(plan.folder / video_of(cell.cell), cell.cell.seed, replace=True),),
        )

    def _note(self, composition: ComposePlan) -> None:
        """What made the cell: the settings of its composition, and the adapters."""
        self._made["settings"] = _with_origins(composition.settings.values(), composition.settings.origins)
        self._made["parts"] = {
            adapter.kind: self._part(self._cell.adapters[adapter.kind], adapter) for adapter in composition.adapters
        }

    def _part(self, planned: PlannedAdapter, adapter: Adapter) -> CellAdapter:
        return CellAdapter(
            adapter=adapter.id,
            sha256=adapter.file_hash,
            method=adapter.method,
            settings=_with_origins(adapter.hyperparameters, adapter.origins),
            trainable_parameters=self._plan.estimates.parameters(planned),
            losses=curve_of(self._plan.folder, planned),
        )

    def _result(self, state: Any, references: tuple[tuple[str, ...], tuple[str, ...]], **more: Any) -> CellResult:
        plan, cell = self._plan, self._cell
        return CellResult(
            cell=cell.cell, state=state, base=plan.info.location.name, base_fingerprint=plan.fingerprint,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"), identity=cell.identity,
            references=references[0], reference_clips=references[1], **self._made, **more,
        )  # fmt: skip


def rescored(plan: SuitePlan, cell: PlannedCell, scorer: Scorer) -> CellResult:
    """The newest result of a cell whose video is there, with the scores that it lacked. Raises what scoring raises."""
    newest = cell.newest
    assert newest is not None and newest.sha256 is not None
    lacking = replace(scorer, metrics=[metric for metric in scorer.metrics if metric.name in cell.unscored])
    new = _scored(plan, cell, lacking, newest.sha256)
    # Those that results of the first version have were told by its own identity, which is that of today.
    kept = [metric for metric in scorer.metrics if metric.name in newest.scores]
    known = newest.score_identities or _score_identities(plan, cell, kept, newest.sha256)
    scores = {**newest.scores, **new["scores"]}
    return replace(
        newest,
        scores={**{metric.name: scores[metric.name] for metric in scorer.metrics}, **scores},
        curves={**newest.curves, **new["curves"]},
        score_identities={**known, **new["score_identities"]},
    )


def _scored(plan: SuitePlan, cell: PlannedCell, scorer: Scorer, sha256: str) -> dict[str, Any]:
    scores = scorer.score(plan.folder / video_of(cell.cell), cell.expected)
    identities = _score_identities(plan, cell, scorer.metrics, sha256)
    return {"scores": scores.values, "curves": scores.curves, "score_identities": identities}


def _score_identities(plan: SuitePlan, cell: PlannedCell, metrics: Sequence[Metric], sha256: str) -> dict[str, str]:
    from engine.evaluation.scoring import score_identity

    return {m.name: score_identity(m, plan.judge_digests, sha256, cell.compared) for m in metrics}


def video_of(cell: Cell) -> str:
    """Where a cell's video is, from the suite's folder: readable, and no other cell's, however the suite changes."""
    digest = hashlib.sha256(repr(cell.key).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    words = slug(" ".join(text for text in (cell.subject, cell.motion, cell.prompt) if text))
    return f"{VIDEOS}/{slug(cell.method)}/{words[:_LONGEST]}-{cell.seed}-{digest}.mp4"


def cell_text(cell: Cell) -> str:
    """A cell in a few words: `fox, zigzag by lora, "a * on grass", seed 1`."""
    things = ", ".join(thing for thing in (cell.subject, cell.motion) if thing)
    return f'{things + " " if things else ""}by {cell.method}, "{cell.prompt}", seed {cell.seed}'


def _with_origins(values: Mapping[str, Any], origins: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value, "origin": origins.get(name)} for name, value in values.items()}

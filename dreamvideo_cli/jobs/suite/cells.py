"""One cell of a suite: its video, if that isn't there, and its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.composing import ComposePlan, ComposeRequest, placed_prompt, settings_for
from dreamvideo_cli.jobs.events import OnEvent
from dreamvideo_cli.jobs.execution.composing import Made, files_of, make_in, take_in
from dreamvideo_cli.jobs.execution.units import Needs, Place, Tell
from dreamvideo_cli.jobs.expected_files import expected_files
from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.jobs.sources import clips_to_start_from
from dreamvideo_cli.jobs.suite.folder import curve_of, references_of
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, PlannedCell, SuitePlan
from dreamvideo_cli.jobs.targets import Target, slug
from engine.data.files import sha256_of
from engine.errors import EngineError, InputError
from engine.evaluation.expected import Expected
from engine.evaluation.suites.results import Cell, CellAdapter, CellResult
from engine.learning_folder import held_out_at_end
from engine.methods.table import recommended_composing_with

if TYPE_CHECKING:
    from engine.evaluation.scoring import Metric
    from registry import Adapter, Registry

VIDEOS = "videos"
_LONGEST = 60


@dataclass(frozen=True)
class Measured:
    """A video's scores and curves, by metric."""

    scores: dict[str, float | None]
    curves: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class CellUnit:
    """A cell's video, composed as `composition` says unless the `video` is there, and measured by some metrics."""

    composition: ComposePlan | None
    video: Path | None
    expected: Expected
    metrics: tuple[str, ...]
    needs: Needs

    @property
    def files(self) -> tuple[Path, ...]:
        """Adapters or the video, and what it is compared with."""
        made_of = files_of(self.composition) if self.composition is not None else ()
        own = made_of if self.video is None else (self.video,)
        return (*own, *self.expected.references, *(clip.path for clip in self.expected.clips))

    def work(self, place: Place, tell: Tell) -> Measured:
        """Tells `Stepped` and `Made`."""
        video = self.video
        if video is None:
            assert self.composition is not None
            video = make_in(self.composition, place, tell)[0].path
        chosen = [metric for metric in place.scorer.metrics if metric.name in self.metrics]
        scores = replace(place.scorer, metrics=chosen).score(video, self.expected)
        return Measured(scores.values, scores.curves)


class CellMaker:
    """Has one cell made and measured, and gives its result."""

    def __init__(self, plan: SuitePlan, cell: PlannedCell, registry: Registry, on_event: OnEvent) -> None:
        self._plan, self._cell, self._registry, self._on_event = plan, cell, registry, on_event
        self._composition: ComposePlan | None = None
        self._references: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        self._made: dict[str, Any] = {}

    def unit(self) -> CellUnit:
        """What is to be done. Raises `InputError` where an adapter was not learnt, or a source is gone."""
        plan, cell = self._plan, self._cell
        composition = self._composition = self._composed()
        video = composition.targets[0].path
        self._note(composition)
        self._references = references_of(plan.folder, cell)
        newest, there = cell.newest, None
        if expected_files(composition)[0].is_there(newest.sha256 if newest else None):
            # It only lacks scores: a run was stopped before it had any, or they are to be others.
            self._note_video(video, newest.seconds if newest else None)
            there = video
        return CellUnit(composition, there, cell.expected, tuple(metric.name for metric in _metrics()), plan.needs)

    def take(self, made: Made) -> None:
        """Put the cell's video into the suite's folder, and note it."""
        assert self._composition is not None
        video = self._composition.targets[0].path
        video.parent.mkdir(parents=True, exist_ok=True)
        take_in(made, self._composition, self._registry, self._on_event)
        self._note_video(video, round(made.seconds, 3))

    def made(self, measured: Measured) -> CellResult:
        """The result of a cell that was made and measured."""
        identities = _score_identities(self._plan, self._cell, _metrics(), self._made["sha256"])
        scores = {"scores": measured.scores, "curves": measured.curves, "score_identities": identities}
        return self._result("made", self._references, **scores)

    def failed(self, message: str) -> CellResult:
        """What came of a cell that failed: all that is known of it."""
        try:
            references = references_of(self._plan.folder, self._cell)
        except (EngineError, OSError):  # maybe what it failed of
            references = (), ()
        return self._result("failed", references, error=message)

    def _note_video(self, video: Path, seconds: float | None) -> None:
        self._made |= {"seconds": seconds, "video": video_of(self._cell.cell), "sha256": sha256_of(video)}

    def _composed(self) -> ComposePlan:
        """The cell's composition, of what the suite's plan found already."""
        plan, cell = self._plan, self._cell
        adapters: dict[AdapterKind, Adapter] = {}
        for kind, adapter in cell.adapters.items():
            if adapter.published is None:
                raise InputError(f"its {kind} wasn't learnt: {adapter.error}")
            step = cell.kept.get(kind)
            whole = adapter.published
            adapters[kind] = whole if step is None else self._registry.find_at(f"{whole.id}:{step}")
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
        subject, motion = adapters.get("subject"), adapters.get("motion")
        recommended = recommended_composing_with(subject.method if subject else None, plan.info.recommended)
        settings = settings_for(recommended, motion, cell.settings)
        return ComposePlan(
            request,
            placed_prompt(cell.prompt, subject),
            plan.info.location,
            tuple(adapters.values()),
            tuple(self._registry.path(adapter) for adapter in adapters.values()),
            settings,
            (Target(plan.folder / video_of(cell.cell), cell.cell.seed, replace=True),),
            clips=clips_to_start_from(motion, settings.config, self._registry),
        )

    def _note(self, composition: ComposePlan) -> None:
        """What made the cell: the settings of its composition, and the adapters."""
        self._made["settings"] = _with_origins(composition.settings.values(), composition.settings.origins)
        self._made["parts"] = {
            adapter.kind: self._part(self._cell.adapters[adapter.kind], adapter) for adapter in composition.adapters
        }

    def _part(self, planned: PlannedAdapter, adapter: Adapter) -> CellAdapter:
        from registry import AdapterAtStep

        if isinstance(adapter, AdapterAtStep):
            step, held_out_loss = adapter.step, adapter.held_out_loss
        else:
            step, held_out_loss = None, held_out_at_end(self._registry.path(adapter))
        return CellAdapter(
            adapter=adapter.id,
            sha256=adapter.file_hash,
            method=adapter.method,
            settings=_with_origins(adapter.hyperparameters, adapter.origins),
            trainable_parameters=self._plan.estimates.parameters(planned),
            losses=curve_of(self._plan.folder, planned),
            step=step,
            held_out_loss=held_out_loss,
        )

    def _result(self, state: Any, references: tuple[tuple[str, ...], tuple[str, ...]], **more: Any) -> CellResult:
        plan, cell = self._plan, self._cell
        return CellResult(
            cell=cell.cell, state=state, base=plan.info.location.name, base_fingerprint=plan.fingerprint,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"), identity=cell.identity,
            references=references[0], reference_clips=references[1], **self._made, **more,
        )  # fmt: skip


def measuring_unit(plan: SuitePlan, cell: PlannedCell) -> CellUnit:
    """The measuring of a video that is there, by what it was not measured by."""
    return CellUnit(None, plan.folder / video_of(cell.cell), cell.expected, cell.unscored, plan.needs)


def remeasured(plan: SuitePlan, cell: PlannedCell, measured: Measured) -> CellResult:
    """The newest result of a cell whose video is there, with the scores that it lacked."""
    newest, metrics = cell.newest, _metrics()
    assert newest is not None and newest.sha256 is not None
    new = _score_identities(plan, cell, [m for m in metrics if m.name in cell.unscored], newest.sha256)
    # Those that results of the first version have were told by its own identity, which is that of today.
    kept = [metric for metric in metrics if metric.name in newest.scores]
    known = newest.score_identities or _score_identities(plan, cell, kept, newest.sha256)
    scores = {**newest.scores, **measured.scores}
    return replace(
        newest,
        scores={**{metric.name: scores[metric.name] for metric in metrics}, **scores},
        curves={**newest.curves, **measured.curves},
        score_identities={**known, **new},
    )


def _metrics() -> tuple[Metric, ...]:
    from engine.evaluation.scoring import METRICS

    return METRICS


def _score_identities(plan: SuitePlan, cell: PlannedCell, metrics: Sequence[Metric], sha256: str) -> dict[str, str]:
    from engine.evaluation.scoring import score_identity

    return {m.name: score_identity(m, plan.judge_digests, sha256, cell.compared) for m in metrics}


def video_of(cell: Cell) -> str:
    """Where a cell's video is, from the suite's folder: readable, and no other cell's, however the suite changes."""
    digest = hashlib.sha256(repr(cell.key).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    words = slug(" ".join(text for text in (cell.subject, cell.motion, cell.prompt) if text))
    return f"{VIDEOS}/{slug(cell.row)}/{words[:_LONGEST]}-{cell.seed}-{digest}.mp4"


def cell_text(cell: Cell) -> str:
    """A cell in a few words: `fox, zigzag by lora, "a * on grass", seed 1`."""
    things = ", ".join(thing for thing in (cell.subject, cell.motion) if thing)
    return f'{things + " " if things else ""}by {cell.row}, "{cell.prompt}", seed {cell.seed}'


def _with_origins(values: Mapping[str, Any], origins: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value, "origin": origins.get(name)} for name, value in values.items()}

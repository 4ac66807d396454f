"""What a suite's folder keeps: results by cell, learning curves, and what the videos are compared with."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.events import Event, OnEvent, Step, Warned
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, PlannedCell, SuitePlan
from engine.data.files import sha256_of
from engine.evaluation.expected import ReferenceClip
from engine.evaluation.suites.results import (
    RESULTS,
    CellResult,
    append_result,
    merge_results,
    results_of_shard,
    save_identities,
)
from engine.files import written_aside

if TYPE_CHECKING:
    from registry import Registry, SuiteCell
    from registry.suites import Suites

CELLS = "cells.csv"
REFERENCES = "references"
LEARNING = "learning"
_WRITE_EVERY = 30.0
"""Seconds after which the table of cells, which may have many thousand rows, is written anew while a suite runs."""
_MOST_POINTS = 100
"""Points of a learning curve that a result holds of each part; each is the mean of the steps up to it."""


class ResultsWriter:
    """Writes down what came of each cell, as soon as it is known. As a context, it leaves the table of cells whole
    behind, which it writes now and then only while the suite runs. That of a shard writes the shard's results alone,
    into a file of their own; that of the whole suite takes in what shards wrote."""

    def __init__(self, plan: SuitePlan, registry: Registry, on_event: OnEvent) -> None:
        self._plan, self._registry, self._on_event = plan, registry, on_event
        self._id: int | None = None
        self._file = results_of_shard(plan.shard.slug) if plan.shard else RESULTS
        if plan.shard is None:
            merge_results(plan.folder)
        plan.suite.save(plan.folder)
        save_identities(plan.folder, {one.cell: one.identity for one in plan.cells})
        self._write()
        self._in_registry(self._begin)

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, cell: PlannedCell) -> None:
        """Add a cell's result to the folder."""
        assert cell.after is not None
        append_result(self._plan.folder, cell.after, file=self._file)
        if time.monotonic() - self._written_at > _WRITE_EVERY:
            self._write()
        row = _plain(cell.after)
        self._in_registry(lambda suites: suites.note(self._id, row) if self._id is not None else None)

    def _write(self) -> None:
        if self._plan.shard is None:
            write_cells(self._plan.folder, self._plan.results)
        self._written_at = time.monotonic()

    def _begin(self, suites: Suites) -> None:
        plan = self._plan
        cells = [_plain(result) for result in plan.own_results]
        self._id = suites.begin(
            plan.suite.name, str(plan.folder.absolute()), len(plan.cells), cells, keep_others=plan.shard is not None
        )

    def _in_registry(self, note: Callable[[Suites], None]) -> None:
        """A result that can't be noted there is in the folder all the same: a warning has to do."""
        from registry import RegistryError

        try:
            note(self._registry.suites)
        except RegistryError as error:
            self._on_event(Warned(f"the suite's results are in {self._plan.folder}, but not in the registry: {error}"))


def _plain(result: CellResult) -> SuiteCell:
    from registry import SuiteCell

    about = {name: getattr(result, name) for name in ("state", "error", "video", "sha256", "base_fingerprint",
                                                      "made_at", "scores")}  # fmt: skip
    return SuiteCell(**asdict(result.cell), **about)


def write_cells(folder: Path, results: Sequence[CellResult]) -> None:
    """Write the table of cells, one row each, scores in columns of their own."""
    rows = [_row(result) for result in results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with written_aside(folder / CELLS) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")


def _row(result: CellResult) -> dict[str, Any]:
    cell = result.cell
    adapters = {f"{kind}_adapter": part.adapter for kind, part in result.parts.items()}
    return {
        "method": cell.method, "subject": cell.subject, "motion": cell.motion, "prompt": cell.prompt,
        "seed": cell.seed, "subject_step": cell.subject_step, "motion_step": cell.motion_step,
        "state": result.state, "video": result.video, "sha256": result.sha256,
        "seconds": result.seconds, "made_at": result.made_at, "base": result.base,
        "base_fingerprint": result.base_fingerprint, "error": result.error,
        **{f"{kind}_adapter": adapters.get(f"{kind}_adapter") for kind in ("subject", "motion")},
        **result.scores,
    }  # fmt: skip


@contextmanager
def learning_curve(folder: Path, adapter: PlannedAdapter, *, fresh: bool) -> Iterator[OnEvent]:
    """Give what notes every step's loss in the suite's folder; a curve that isn't `fresh` goes on."""
    file = _curve_file(folder, adapter)
    file.parent.mkdir(exist_ok=True)
    with file.open("w" if fresh else "a", encoding="utf-8") as opened:

        def note(event: Event) -> None:
            if isinstance(event, Step):
                opened.write(json.dumps([event.part, event.step, event.loss]) + "\n")
                opened.flush()

        yield note


def curve_of(folder: Path, adapter: PlannedAdapter) -> dict[str, list[tuple[int, float]]]:
    """The learning curve of each part of an adapter's run; nothing where it was learnt elsewhere."""
    losses: dict[str, dict[int, float]] = {}
    try:
        lines = _curve_file(folder, adapter).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            part, step, loss = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        # A run that was killed makes the steps since its last snapshot again.
        losses.setdefault(part, {})[step] = loss
    return {part: _thinned(sorted(curve.items())) for part, curve in losses.items()}


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    length = -(-len(curve) // _MOST_POINTS)
    chunks = [curve[start : start + length] for start in range(0, len(curve), length)]
    return [(chunk[-1][0], fmean(loss for _, loss in chunk)) for chunk in chunks]


def _curve_file(folder: Path, adapter: PlannedAdapter) -> Path:
    return folder / LEARNING / f"{adapter.request.name}-{adapter.identity[:8]}.jsonl"


def references_of(folder: Path, cell: PlannedCell) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A cell's pictures and clips in the suite's folder, copied there: what a result names stays what it was made and
    measured by, whatever becomes of the user's files. Raises `InputError` where one is gone."""
    places = [folder / REFERENCES / str(name) for name in (cell.cell.subject, cell.cell.motion)]
    pictures = [_copied(path, places[0], path.suffix.lower(), shutil.copyfile) for path in cell.expected.references]
    clips = [_copied(clip.path, places[1], ".mp4", partial(_as_mp4, clip), clip) for clip in cell.expected.clips]
    named, shown = (tuple(path.relative_to(folder).as_posix() for path in paths) for paths in (pictures, clips))
    return named, shown


def _copied(
    path: Path, place: Path, suffix: str, copy: Callable[[Path, Path], Any], clip: ReferenceClip | None = None
) -> Path:
    """A copy whose name tells its contents and, of a clip, which part it is: another one has another name."""
    part = (clip.start, clip.end, clip.source_fps) if clip else ()
    digest = hashlib.sha256(f"{sha256_of(path)}/{part}".encode()).hexdigest()
    target = place / f"{digest[:12]}{suffix}"
    if not target.exists():
        with written_aside(target) as aside:
            copy(path, aside)
    return target


def _as_mp4(clip: ReferenceClip, _path: Path, target: Path) -> None:
    """The part of a clip that is the motion, at its own rate."""
    from engine.data.clips import probe_clip, read_clip
    from engine.media.video import write_video

    if clip.path.suffix.lower() == ".mp4" and (clip.start, clip.end) == (0.0, None):
        shutil.copyfile(clip.path, target)
        return
    info = probe_clip(clip.path, start=clip.start, end=clip.end, source_fps=clip.source_fps)
    frames = read_clip(info)
    write_video(frames, target, info.fps, {})

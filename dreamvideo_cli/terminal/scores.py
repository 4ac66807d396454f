"""Videos' figures: the table, the JSON, the CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import count_text
from engine.files import written_aside

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.evaluating import VideoScores
    from engine.evaluation.scoring import Scores


def show_scores(scored: Sequence[VideoScores], file: Path | None, out: Out, *, force: bool = False) -> None:
    """One row a video and, of several, their mean: on stdout as a table or JSON, and in `file` without the mean."""
    from engine.evaluation.scoring import METRICS

    about, scores = [each.about for each in scored], [each.scores for each in scored]
    mean = {m.name: _mean([s.values[m.name] for s in scores]) for m in METRICS}
    if file is not None:
        _write(file, about, scores, replace=force)
        out.note(f"Wrote {file}")
    if out.json:
        out.data({"videos": [_data(*pair) for pair in zip(about, scores, strict=True)], "mean": mean})
        return
    rows: list[dict[str, object]] = [{"video": str(s.video.path), **s.values} for s in scores]
    if len(rows) > 1:
        rows.append({"video": f"mean of {count_text(len(rows), 'video')}", **mean})
    metrics = [m for m in METRICS if not m.of_truth or mean[m.name] is not None]
    columns = [Column("video", "Video"), *(Column(m.name, m.title, _figure, "right") for m in metrics)]
    out.table(rows, columns, id_key="video", empty="")


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "\u2013"


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that were measured."""
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None


def _data(about: Mapping[str, Any], scores: Scores) -> dict[str, Any]:
    video = scores.video
    size = {"sha256": video.sha256, "frames": video.frames, "fps": video.fps}
    curves = {name: list(curve) for name, curve in scores.curves.items()}
    return {**about, **size, "scores": scores.values, "curves": curves}


def _write(file: Path, about: Sequence[Mapping[str, Any]], scores: Sequence[Scores], *, replace: bool) -> None:
    rows = [
        {**what, "sha256": s.video.sha256, "frames": s.video.frames, "fps": s.video.fps, **s.values}
        for what, s in zip(about, scores, strict=True)
    ]
    lists = ("references", "clips")
    names = [name for name in rows[0] if name not in lists]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with written_aside(file, replace=replace) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")

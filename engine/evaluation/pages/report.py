"""A suite's report: the paper's tables, the videos side by side, how each was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.evaluation.pages.charts import HEIGHT, WIDTH, Whisker, learning_curves, whiskers
from engine.evaluation.pages.choosing import chosen
from engine.evaluation.pages.media import Item, Media
from engine.evaluation.pages.rendering import render
from engine.evaluation.suites.ballots import QUESTIONS
from engine.evaluation.suites.results import CellAdapter, CellResult, made
from engine.evaluation.suites.step_tables import step_tables
from engine.evaluation.suites.tables import (
    Group,
    Sort,
    Table,
    by_row,
    group_of,
    metrics_of,
    overview,
    paper_tables,
    sort_of,
    title_of,
)
from engine.evaluation.suites.tallies import Votes


@dataclass(frozen=True)
class Report:
    """A report's page and numbers, what it counts, and what was wrong with files that should be in it. `shown` are
    its comparisons, of `comparable` that there are."""

    html: str
    tables: tuple[Table, ...]
    videos: int
    failed: int
    shown: int
    comparable: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Shot:
    """One method's video in a comparison; without an `item` there is none, and `problem` may say why."""

    method: str
    result: CellResult | None
    item: Item | None
    problem: str


@dataclass(frozen=True)
class Comparison:
    """Videos of one subject, motion, prompt and seed, a method each, and what they were to resemble."""

    subject: str | None
    motion: str | None
    prompt: str
    seed: int
    pictures: tuple[Item, ...]
    clips: tuple[Item, ...]
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class ReportedAdapter:
    """A learnt part, and what it is a part of."""

    kind: str
    name: str
    part: CellAdapter


def make_report(
    results: Sequence[CellResult], folder: Path, votes: Votes | None = None, *, most: int | None = None
) -> Report:
    """The report of `results`, whose files lie in `folder`, and of a user study's `votes`, with `most` comparisons of
    videos; None are as many as keep the page small enough to be opened. The same give the same page.

    Methods, subjects, motions, prompts and seeds are in the order of `results`. Raises `InputError` without results.
    """
    if not results:
        raise InputError(f"{folder} holds no result yet: make some with `dv suite run`")
    media = Media(folder)
    problems: list[str] = []
    groups: dict[Group, list[CellResult]] = {}
    for result in results:
        groups.setdefault(group_of(result), []).append(result)
    shown = {group: groups[group] for group in chosen(groups, folder, most)}
    comparisons = _comparisons(results, shown, media, problems)
    tables = (*paper_tables(results), *overview(results), *step_tables(results))
    metrics = metrics_of(results)
    videos, failed = len(made(results)), [result for result in results if result.state == "failed"]
    values = {
        "name": folder.resolve().name,
        "tables": [(table, _differences(table)) for table in tables],
        "votes": votes,
        "questions": {name: title for name, (title, _) in QUESTIONS.items()},
        "comparisons": comparisons,
        "comparable": len(groups),
        "filters": _filters(comparisons),
        "media": media.items(),
        "curves": learning_curves(results),
        "chart_area": (WIDTH, HEIGHT),
        "adapters": _adapters(results),
        "failed": failed,
        "videos": videos,
        "methods": list(by_row(results)),
        "subjects": list(dict.fromkeys(result.cell.subject for result in results if result.cell.subject)),
        "motions": list(dict.fromkeys(result.cell.motion for result in results if result.cell.motion)),
        "prompts": list(dict.fromkeys(result.cell.prompt for result in results)),
        "seeds": list(dict.fromkeys(result.cell.seed for result in results)),
        "bases": sorted({(result.base, result.base_fingerprint) for result in results}),
        "metrics": metrics,
        "title_of": title_of,
    }
    counts = len(comparisons), len(groups)
    return Report(render("report", values), tables, videos, len(failed), *counts, tuple(problems))


def _comparisons(
    results: Sequence[CellResult], groups: Mapping[Group, Sequence[CellResult]], media: Media, problems: list[str]
) -> list[Comparison]:
    """Those of `groups`, each with every method that has `results` of the same sort."""
    methods: dict[Sort | None, dict[str, None]] = {}
    for result in results:
        methods.setdefault(sort_of(result), {})[result.cell.row] = None
    comparisons = []
    # Videos of both, of a subject alone, of a motion alone.
    for group in sorted(groups, key=lambda group: (not group[0], not group[1])):
        found = {result.cell.row: result for result in groups[group]}
        one = groups[group][0]
        shots = tuple(_shot(method, found.get(method), media, problems) for method in methods[sort_of(one)])
        # A cell that failed may have none.
        told = next((result for result in groups[group] if result.references or result.reference_clips), one)
        pictures, clips = (_items(paths, media, problems) for paths in (told.references, told.reference_clips))
        cell = one.cell
        comparisons.append(Comparison(cell.subject, cell.motion, cell.prompt, cell.seed, pictures, clips, shots))
    return comparisons


def _filters(comparisons: Sequence[Comparison]) -> list[tuple[str, str, list[Any]]]:
    """What the page's comparisons can be chosen by: a title, a field, and its values where there are several."""
    fields = {field: [getattr(one, field) for one in comparisons] for field in ("subject", "motion", "prompt", "seed")}
    values = {field: [v for v in dict.fromkeys(all_of) if v is not None] for field, all_of in fields.items()}
    return [(field.title(), field, found) for field, found in values.items() if len(found) > 1]


def _shot(method: str, result: CellResult | None, media: Media, problems: list[str]) -> Shot:
    if result is None or result.video is None:
        return Shot(method, result, None, result.error or "" if result else "")
    try:
        item = media.add(result.video, frames=_frames(result))
    except InputError as error:
        problems.append(str(error))
        return Shot(method, result, None, str(error))
    problem = ""
    if item.sha256 != result.sha256:
        problem = f"{result.video} has changed since it was scored"
        problems.append(f"{problem}: its figures are not of what is shown. Run the suite again.")
    return Shot(method, result, item, problem)


def _frames(result: CellResult) -> int | None:
    """How many frames a video has, as its curves tell: there is a value for each step between two."""
    steps = result.curves.get("temporal_consistency")
    return len(steps) + 1 if steps else None


def _items(paths: Sequence[str], media: Media, problems: list[str]) -> tuple[Item, ...]:
    items = []
    for path in paths:
        try:
            items.append(media.add(path))
        except InputError as error:
            if str(error) not in problems:
                problems.append(str(error))
    return tuple(items)


def _adapters(results: Sequence[CellResult]) -> list[ReportedAdapter]:
    """Every learnt part once, subjects first."""
    found: dict[str, ReportedAdapter] = {}
    for result in results:
        for kind, part in result.parts.items():
            name = result.cell.subject if kind == "subject" else result.cell.motion
            found.setdefault(part.sha256, ReportedAdapter(kind, name or "", part))
    return sorted(found.values(), key=lambda adapter: adapter.kind != "subject")


def _differences(table: Table) -> dict[str, dict[int, Whisker]]:
    """For each metric the drawing of each row's difference, all on the metric's own scale."""
    drawings: dict[str, dict[int, Whisker]] = {}
    for metric in table.metrics:
        figures = {at: row.figures[metric] for at, row in enumerate(table.rows)}
        drawings[metric] = whiskers({at: f.difference for at, f in figures.items() if f and f.difference})
    return drawings


def report_data(report: Report) -> dict[str, Any]:
    """A report's numbers as plain values."""
    return {
        "videos": report.videos,
        "failed": report.failed,
        "comparisons": report.shown,
        "comparisons_left_out": report.comparable - report.shown,
        "problems": list(report.problems),
        "tables": [_table_data(table) for table in report.tables],
    }


def _table_data(table: Table) -> dict[str, Any]:
    rows = [
        {
            "method": row.title,
            "videos": row.videos,
            "failed": row.failed,
            "trainable_parameters": row.parameters,
            "figures": {metric: _figure_data(figure) for metric, figure in row.figures.items() if figure},
        }
        for row in table.rows
    ]
    reference = table.reference
    compared = reference.title if reference else None
    return {"table": table.number or None, "caption": table.caption, "reference": compared, "rows": rows}


def _figure_data(figure: Any) -> dict[str, Any]:
    mean = figure.interval
    data: dict[str, Any] = {"mean": mean.mean, "low": mean.low, "high": mean.high, "videos": figure.count}
    if figure.difference is not None:
        change = figure.difference
        data["difference"] = {"mean": change.mean, "low": change.low, "high": change.high, "pairs": figure.paired}
    return data

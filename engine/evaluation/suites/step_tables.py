"""A method at several of the steps that were kept while it was learnt, each step against the last one.

Whoever takes the best of several rows takes some luck along: that row would do worse in other videos. So two more rows
choose a step for each subject and motion without a look at the videos that they are measured on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from engine.evaluation.suites.results import CellResult, made
from engine.evaluation.suites.tables import (
    SORTS,
    UNRANKED,
    Entry,
    Group,
    Sort,
    Table,
    TableRow,
    by_row,
    figure_of,
    group_of,
    is_at_end,
    metrics_of,
    ranked_table,
    rows_of,
    sort_of,
)

LAST = "last step"
LEAST_LOSS = "step of least held-out loss"
BY_OTHERS = "step that is best in other videos"
Pair = tuple[str, str]
Rows = Mapping[str, Sequence[CellResult]]
"""The videos at each step; those at the last one come first."""


def step_tables(results: Sequence[CellResult]) -> list[Table]:
    """A table for each method, and sort of customization, of which there are videos at several steps.

    The step of least held-out loss is that of a subject's adapter and a motion's whose losses, as shares of those at
    the last step, are least on average. The one that is best in other videos is the one whose videos of other prompts
    and seeds, of the same subject and motion, have the highest mean; each metric has its own.
    """
    tables = []
    for sort in SORTS:
        mine = made(result for result in results if sort_of(result) == sort)
        for method in dict.fromkeys(result.cell.method for result in mine):
            rows = by_row(result for result in mine if result.cell.method == method)
            if len(rows) > 1:
                tables.append(_step_table(method, sort, rows))
    return tables


def _step_table(method: str, sort: Sort, rows: Rows) -> Table:
    last = next((name for name, cells in rows.items() if all(map(is_at_end, cells))), None)
    entries = [
        Entry(cells[0].cell.steps or LAST, cells, is_reference=name == last) for name, cells in rows.items()
    ]  # fmt: skip
    entries.sort(key=lambda entry: entry.is_reference)
    metrics = metrics_of(result for cells in rows.values() for result in cells)
    found = rows_of(entries, metrics)
    if last is not None:
        found[-1:-1] = _chosen({last: rows[last], **rows}, rows[last], metrics)
    return ranked_table("", f"{method} at several steps", sort, metrics, found, with_parameters=False)


def _chosen(rows: Rows, last: Sequence[CellResult], metrics: Sequence[str]) -> list[TableRow]:
    """The rows of steps that are chosen for each subject and motion, where there is something to choose by."""
    by_loss = _of_least_loss(rows)
    by_others = {metric: [] if metric in UNRANKED else _best_in_others(metric, rows) for metric in metrics}
    choices = ((LEAST_LOSS, dict.fromkeys(metrics, by_loss)), (BY_OTHERS, by_others))
    found = []
    for title, chosen in choices:
        figures = {metric: figure_of(metric, chosen[metric], last) for metric in metrics}
        videos = max(map(len, chosen.values()), default=0)
        if videos:
            found.append(TableRow(title, figures, None, videos, 0))
    return found


def _of_least_loss(rows: Rows) -> list[CellResult]:
    """The videos at the step of least held-out loss of each subject and motion of which all losses are known."""
    by_step = [_by_pair(cells) for cells in rows.values()]
    chosen: list[CellResult] = []
    for pair, whole in by_step[0].items():
        there = [cells[pair] for cells in by_step if pair in cells]
        losses = [_loss(cells[0], whole[0]) for cells in there]
        known = [loss for loss in losses if loss is not None]
        if len(known) == len(losses):
            chosen += there[known.index(min(known))]
    return chosen


def _loss(result: CellResult, last: CellResult) -> float | None:
    """The mean share that held-out losses have of those at the last step; None where one isn't known."""
    pairs = [(part.held_out_loss, last.parts[kind].held_out_loss) for kind, part in result.parts.items()]
    shares = [own / final for own, final in pairs if own is not None and final]
    return fmean(shares) if shares and len(shares) == len(pairs) else None


def _best_in_others(metric: str, rows: Rows) -> list[CellResult]:
    """For each subject, motion, prompt and seed the video at the step that does best at the other prompts and seeds."""
    by_step = [_by_pair(cells) for cells in rows.values()]
    chosen = []
    for pair in by_step[0]:
        scored = [_scored(metric, cells[pair]) for cells in by_step if pair in cells]
        shared = [group for group in scored[0] if all(group in one for one in scored)]
        for group in shared if len(shared) > 1 else []:
            others = [other for other in shared if other != group]
            best = max(scored, key=lambda one: fmean(one[other][1] for other in others))
            chosen.append(best[group][0])
    return chosen


def _by_pair(results: Iterable[CellResult]) -> dict[Pair, list[CellResult]]:
    found: dict[Pair, list[CellResult]] = {}
    for result in results:
        found.setdefault((result.cell.subject or "", result.cell.motion or ""), []).append(result)
    return found


def _scored(metric: str, results: Iterable[CellResult]) -> dict[Group, tuple[CellResult, float]]:
    scores = ((result, result.scores.get(metric)) for result in results)
    return {group_of(result): (result, score) for result, score in scores if score is not None}

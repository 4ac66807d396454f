"""A suite's cost, its status, and what came of it, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.suite.status import COUNTS, failures_of, status_data, status_of
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import count_text, duration_text

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.suite.plans import SuitePlan
    from engine.evaluation.suites.definition import Suite
    from engine.evaluation.suites.results import CellResult

_FAILURES_SHOWN = 20


def show_cost(plan: SuitePlan, out: Out) -> None:
    """What is going to be done, and how long it will take, on stderr."""
    learning, composing = expected_seconds(plan)
    suite, to_make = plan.suite, plan.to_make
    sizes = [
        count_text(len(things), name)
        for name, things in (("method", suite.methods), ("subject", suite.subjects), ("motion", suite.motions),
                             ("prompt", suite.prompts), ("seed", suite.seeds)) if things
    ]  # fmt: skip
    rows = sum(len(method.steps) for method in suite.methods)
    if rows > len(suite.methods):
        sizes[0] += f" at {count_text(rows, 'step')} in all"
    out.note(f"{suite.name}: {count_text(len(plan.cells), 'cell')} ({' x '.join(sizes)}) on {plan.info.location.name}")
    if plan.shard is not None:
        out.note(f"shard {plan.shard}: {count_text(len(plan.own), 'cell')} of these")
    for note in plan.notes:
        out.warn(note)
    out.note(f"{count_text(len(plan.to_learn), 'adapter')} to learn, about {duration_text(learning)}")
    kept = len(plan.own) - len(to_make)
    out.note(f"{count_text(len(to_make), 'video')} to make, about {duration_text(composing)}; {kept} there already")
    if to_score := len(plan.waiting) - len(to_make):
        out.note(f"{count_text(to_score, 'video')} of those to measure by what is new")
    out.note(f"about {duration_text(learning + composing)} in all")


def cost_data(plan: SuitePlan) -> dict[str, object]:
    """The same as plain values."""
    learning, composing = expected_seconds(plan)
    return {
        "suite": plan.suite.name,
        "cells": len(plan.own),
        "adapters_to_learn": [adapter.request.name for adapter in plan.to_learn],
        "videos_to_make": len(plan.to_make),
        "videos_to_measure": len(plan.waiting) - len(plan.to_make),
        "expected_learning_seconds": round(learning, 3),
        "expected_composing_seconds": round(composing, 3),
    }


def expected_seconds(plan: SuitePlan) -> tuple[float, float]:
    """What learning and composing will take."""
    estimates = plan.estimates
    return sum(map(estimates.learning, plan.to_learn)), sum(map(estimates.composing, plan.to_make))


def show_status(suite: Suite, folder: Path, results: Sequence[CellResult], out: Out) -> None:
    """The counts and the means as two tables on stdout, or all of it as JSON."""
    if out.json:
        out.data(status_data(suite, folder, results))
        return
    status = status_of(suite, folder, results)
    method = Column("method", "Method")
    counts = [Column(name, name.title(), str, "right") for name in COUNTS]
    out.table([asdict(one) for one in status], [method, *counts], id_key="method", empty="")
    names = list(dict.fromkeys(name for one in status for name, mean in one.means.items() if mean is not None))
    if names:
        rows = [{"method": one.method, **{name: one.means.get(name) for name in names}} for one in status]
        out.table(rows, [method, *_figures(names)], id_key="method", empty="")


def _figures(names: Sequence[str]) -> list[Column]:
    """A column a metric; titles of several words take several lines."""
    from engine.evaluation.scoring import METRICS

    titles = {metric.name: metric.title.replace(" ", "\n") for metric in METRICS}
    return [Column(name, titles.get(name, name), _figure, "right") for name in names]


def show_end(plan: SuitePlan, out: Out) -> int:
    """What came of it, each failed cell with its reason; the number of failed cells."""
    from dreamvideo_cli.jobs.suite.cells import cell_text
    from dreamvideo_cli.jobs.suite.folder import CELLS

    failures = failures_of(plan.suite, plan.own_results)
    made = sum(cell.after is not None and cell.after.state == "made" for cell in plan.to_make)
    kept = sum(cell.has_video for cell in plan.own)
    where = f"all cells: {plan.folder / CELLS}" if plan.shard is None else f"of shard {plan.shard}"
    out.note(f"{made} made, {kept} kept, {len(failures)} failed; {where}")
    for result in failures[:_FAILURES_SHOWN]:
        out.warn(f"without a result: {cell_text(result.cell)}: {result.error}")
    if len(failures) > _FAILURES_SHOWN:
        out.warn(f"and {count_text(len(failures) - _FAILURES_SHOWN, 'cell')} more")
    return len(failures)


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "\u2013"

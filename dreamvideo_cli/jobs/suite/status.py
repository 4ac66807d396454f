"""How far a suite is: cells done, failed and missing by method, and the means of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from engine.evaluation.suites.definition import Suite
from engine.evaluation.suites.results import CellResult, read_results, results_files

COUNTS = ("done", "failed", "missing")


@dataclass(frozen=True)
class MethodStatus:
    """The cells of one method, of each step that it is compared at. A video that isn't there any more is missing."""

    method: str
    done: int
    failed: int
    missing: int
    means: Mapping[str, float | None]


def results_in(folder: Path) -> list[CellResult]:
    """What `read_results` gives, none where nothing has been made yet. Raises `InputError`."""
    return read_results(folder) if results_files(folder) else []


def status_of(suite: Suite, folder: Path, results: Sequence[CellResult]) -> list[MethodStatus]:
    """One row a method and step, in the suite's order."""
    newest = {result.cell.key: result for result in results}
    found: dict[str, list[CellResult | None]] = {}
    for cell in suite.cells():
        found.setdefault(cell.row, []).append(newest.get(cell.key))
    return [_status(method, cells, folder) for method, cells in found.items()]


def _status(method: str, cells: Sequence[CellResult | None], folder: Path) -> MethodStatus:
    done = [r for r in cells if r is not None and r.state == "made" and (folder / (r.video or "")).is_file()]
    failed = sum(result is not None and result.state == "failed" for result in cells)
    names = dict.fromkeys(name for result in done for name in result.scores)
    measured = {name: [s for r in done if (s := r.scores.get(name)) is not None] for name in names}
    means = {name: fmean(scores) if scores else None for name, scores in measured.items()}
    return MethodStatus(method, len(done), failed, len(cells) - len(done) - failed, means)


def failures_of(suite: Suite, results: Sequence[CellResult]) -> list[CellResult]:
    """The suite's cells that failed when they were last tried."""
    own = {cell.key for cell in suite.cells()}
    return [result for result in results if result.state == "failed" and result.cell.key in own]


def status_data(suite: Suite, folder: Path, results: Sequence[CellResult]) -> dict[str, Any]:
    """The status as plain values."""
    status = status_of(suite, folder, results)
    return {
        "suite": suite.name,
        "folder": str(folder),
        "cells": len(suite.cells()),
        **{name: sum(getattr(one, name) for one in status) for name in COUNTS},
        "methods": [asdict(one) for one in status],
        "failures": [{**asdict(one.cell), "error": one.error} for one in failures_of(suite, results)],
    }

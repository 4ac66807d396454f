"""Small drawings of a page as numbers for SVG: learning curves, and differences with their intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.statistics import Interval
from engine.evaluation.suites.results import CellAdapter, CellResult
from engine.methods.common import Kind

WIDTH, HEIGHT = 320, 150
"""Of a learning curve's drawing area, in SVG's units."""
_MOST_POINTS = 80


@dataclass(frozen=True)
class Curve:
    """One line: its name, which of the page's styles it has, and `x,y x,y` in the drawing area."""

    name: str
    style: int
    points: str


@dataclass(frozen=True)
class Chart:
    """Learning curves that belong together; `low` and `high` are the losses at the lower and upper edge."""

    title: str
    steps: int
    low: float
    high: float
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Whisker:
    """An interval around 0 in a drawing 100 wide: where it begins and ends, and its mean."""

    low: float
    mean: float
    high: float


def learning_curves(results: Sequence[CellResult]) -> list[Chart]:
    """A chart for each subject, motion and stretch of training, in which every adapter of it is a line.

    A line is called by the method that it was learnt by, or where several adapters were learnt by that one, by the
    first of the suite's methods that uses it.
    """
    found: dict[Kind, dict[str, dict[str, CellAdapter]]] = {"subject": {}, "motion": {}}
    for result in results:
        for kind, part in result.parts.items():
            name = (result.cell.subject if kind == "subject" else result.cell.motion) or ""
            users = found[kind].setdefault(name, {})
            if part.sha256 not in {known.sha256 for known in users.values()}:
                users.setdefault(result.cell.method, part)
    named = {kind: {name: _named(users) for name, users in mine.items()} for kind, mine in found.items()}
    lines = dict.fromkeys(line for mine in named.values() for parts in mine.values() for line in parts)
    styles = {line: number for number, line in enumerate(lines)}
    return [
        _chart(f"{name}: {stretch}", stretch, parts, styles)
        for mine in named.values()
        for name, parts in mine.items()
        for stretch in dict.fromkeys(stretch for part in parts.values() for stretch in part.losses)
        if any(part.losses.get(stretch) for part in parts.values())
    ]


def _named(users: Mapping[str, CellAdapter]) -> dict[str, CellAdapter]:
    """Adapters by what their lines are called, from the suite's methods that use them."""
    learnt = Counter(part.method for part in users.values())
    return {part.method if learnt[part.method] == 1 else user: part for user, part in users.items()}


def whiskers(intervals: Mapping[int, Interval]) -> dict[int, Whisker]:
    """Intervals on one scale, on which 0 is in the middle."""
    bound = max((abs(edge) for i in intervals.values() for edge in (i.low, i.high)), default=0) or 1.0

    def place(value: float) -> float:
        return round(50 + 48 * value / bound, 1)

    return {name: Whisker(place(i.low), place(i.mean), place(i.high)) for name, i in intervals.items()}


def _chart(title: str, stretch: str, parts: Mapping[str, CellAdapter], styles: Mapping[str, int]) -> Chart:
    lines = {name: _thinned(points) for name, part in parts.items() if (points := part.losses.get(stretch))}
    steps = max(step for part in parts.values() for step, _ in part.losses.get(stretch, ()))
    losses = [loss for points in lines.values() for _, loss in points]
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0
    curves = [
        Curve(
            name,
            styles[name],
            " ".join(
                f"{step / max(1, steps) * WIDTH:.1f},{(high - loss) / span * HEIGHT:.1f}" for step, loss in points
            ),
        )
        for name, points in lines.items()
    ]
    return Chart(title, steps, low, high, tuple(curves))


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At most 80 points, each the mean of its neighbours."""
    array = np.asarray(sorted(points), dtype=np.float64)
    chunks = np.array_split(array, min(len(array), _MOST_POINTS))
    return [(float(chunk[:, 0].mean()), float(chunk[:, 1].mean())) for chunk in chunks]

"""Small drawings of a page as numbers for SVG: learning curves, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.statistics import Interval
from engine.evaluation.suites.results import CellResult, Part
from engine.evaluation.suites.tables import OURS

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
    """A chart for each subject, motion and stretch of training, in which every method that learnt it is a line."""
    parts: dict[tuple[str, str, str], dict[str, Part]] = {}
    for result in results:
        for kind, part in result.parts.items():
            name = result.cell.subject if kind == "subject" else result.cell.motion
            for stretch in part.losses:
                parts.setdefault((kind, name or "", stretch), {}).setdefault(part.sha256, part)
    methods = sorted(
        {part.method for found in parts.values() for part in found.values()}, key=lambda name: (name != OURS, name)
    )
    styles = {method: number for number, method in enumerate(methods)}
    order = {"subject": 0, "motion": 1}
    return [
        _chart(f"{name}: {stretch}", stretch, [*found.values()], styles)
        for (_, name, stretch), found in sorted(parts.items(), key=lambda item: (order[item[0][0]], item[0]))
        if any(part.losses[stretch] for part in found.values())
    ]


def whiskers(intervals: Mapping[int, Interval]) -> dict[int, Whisker]:
    """Intervals on one scale, on which 0 is in the middle."""
    bound = max((abs(edge) for i in intervals.values() for edge in (i.low, i.high)), default=0) or 1.0

    def place(value: float) -> float:
        return round(50 + 48 * value / bound, 1)

    return {name: Whisker(place(i.low), place(i.mean), place(i.high)) for name, i in intervals.items()}


def _chart(title: str, stretch: str, parts: Sequence[Part], styles: Mapping[str, int]) -> Chart:
    lines = {part.method: _thinned(part.losses[stretch]) for part in parts if part.losses[stretch]}
    steps = max(step for part in parts for step, _ in part.losses[stretch])
    losses = [loss for points in lines.values() for _, loss in points]
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0
    curves = [
        Curve(
            method,
            styles[method],
            " ".join(
                f"{step / max(1, steps) * WIDTH:.1f},{(high - loss) / span * HEIGHT:.1f}" for step, loss in points
            ),
        )
        for method, points in sorted(lines.items(), key=lambda line: styles[line[0]])
    ]
    return Chart(title, steps, low, high, tuple(curves))


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At most 80 points, each the mean of its neighbours."""
    array = np.asarray(sorted(points), dtype=np.float64)
    chunks = np.array_split(array, min(len(array), _MOST_POINTS))
    return [(float(chunk[:, 0].mean()), float(chunk[:, 1].mean())) for chunk in chunks]

"""What is measured on clips, and how their measures become a figure's rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch

from benchmarks.figures.asked import Asked, Frames, path_of, to_pixels
from benchmarks.figures.bench import Bench, FigureRow
from engine.evaluation import metrics
from engine.evaluation.identification import identify
from engine.evaluation.statistics import bootstrap_interval

SIBLINGS = 63
"""How many siblings an individual is told from."""


@dataclass(frozen=True)
class Identified:
    """By pixels, a value a clip: whether the individual is told from 63 siblings and from its own blur (top-1), whether
    from its siblings, its rank among all these, its colours."""

    top1: list[float]
    among_siblings: list[float]
    rank: list[float]
    colour: list[float]


def identified(bench: Bench, made: Frames, asked: Sequence[Asked]) -> Identified:
    """Who is shown in clips `(N, F, H, W, 3)`, against who was asked for."""

    def found(frames: Frames, one: Asked) -> list[float]:
        result = identify(to_pixels(frames), one.one, SIBLINGS)
        return [float(result.found), float(result.found_among_siblings), float(result.rank), result.colour]

    rows = [
        bench.once("identified among siblings", (frames.tobytes(), repr(one.one)), partial(found, frames, one))
        for frames, one in zip(made, asked, strict=True)
    ]
    return Identified(*([row[k] for row in rows] for k in range(4)))


def identity(ranks: Sequence[float]) -> float:
    """Ranks among an individual and its siblings as one number: 1 is the first of all, 0 the last."""
    return mean([1 - math.log(rank) / math.log(1 + SIBLINGS) for rank in ranks])


@dataclass(frozen=True)
class Followed:
    """In which clips class, scene and motion are those asked for (1) or others (0)."""

    class_word: list[float]
    scene: list[float]
    motion: list[float]


def followed(bench: Bench, made: Frames, asked: Sequence[Asked]) -> Followed:
    """Read class, scene and motion off clips `(N, F, H, W, 3)`."""
    readings = bench.readers.read(to_pixels(made))
    return Followed(
        class_word=[float(a == b.one.class_word) for a, b in zip(readings.classes, asked, strict=True)],
        scene=[float(a == b.scene) for a, b in zip(readings.scenes, asked, strict=True)],
        motion=[float(a == b.motion) for a, b in zip(readings.motions, asked, strict=True)],
    )


def correlations(bench: Bench, made: Frames, asked: Sequence[Asked]) -> list[float]:
    """Each clip's trajectory against the one asked for; 0 where nobody was found in some frame."""
    readings = bench.readers.read(to_pixels(made))
    tracks = [readings.tracked(i) for i in range(len(made))]
    return [
        0.0 if track is None else metrics.trajectory_correlation(track, path_of(one.motion))
        for track, one in zip(tracks, asked, strict=True)
    ]


def mean(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).mean())


def interval(values: Sequence[float]) -> dict[str, float]:
    """A mean and its 95% bootstrap interval, as JSON's values."""
    return asdict(bootstrap_interval(values))


def at_least(what: str, value: float, target: float) -> FigureRow:
    return FigureRow(what, value, f">= {target:.3g}", value >= target)


def at_most(what: str, value: float, target: float) -> FigureRow:
    return FigureRow(what, value, f"<= {target:.3g}", value <= target)


def value_of(bench: Bench, number: str, what: str) -> float | None:
    """A row of a figure that was measured before, None where it was not."""
    figure = bench.figures.get(number)
    return None if figure is None else next((row.value for row in figure.rows if row.what == what), None)

"""What is measured on each clip, and how clips' measures become a figure's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.figures.bench import Bench, FigureRow
from benchmarks.figures.instruments.reading import Readings
from benchmarks.figures.material import Frames, Request, reference_specs, render, to_pixels, track_of, windows_of
from engine.evaluation import metrics
from engine.evaluation.statistics import bootstrap_interval
from engine.world import clips, sprites


@dataclass(frozen=True)
class Scores:
    """The four metrics of one clip, and the colours that its sprite shares with the references'."""

    clip_t: float
    clip_i: float
    dino_i: float
    consistency: float
    colour: float


METRICS = ("clip_t", "clip_i", "dino_i", "consistency", "colour")


@dataclass(frozen=True)
class References:
    """A subject's photographs as features `(R, D)`, and the colours of the sprite in them."""

    clip: Tensor
    dino: Tensor
    colours: Tensor


def references_of(bench: Bench, word: str) -> References:
    specs = reference_specs(word)
    pictures = render(specs)[:, 0]
    windows = windows_of(specs)[:, 0]
    colours = metrics.colour_histogram(to_pixels(pictures[:, None])[:, 0], windows)
    listed = list(pictures)
    return References(bench.judges.images("clip", listed), bench.judges.images("dino", listed), colours)


def score(bench: Bench, frames: Frames, spec: clips.ClipSpec, references: References) -> Scores:
    """Score one clip `(F, H, W, 3)` that should look like `spec`; its text has the class word for the subject."""
    class_word = sprites.catalogue()[spec.word].class_word
    text = bench.judges.texts("clip", [clips.caption(class_word, spec.motion, spec.scene)])[0]
    seen = bench.judges.images("clip", list(frames))
    colours = metrics.colour_histogram(to_pixels(frames[None])[0], windows_of([spec])[0])
    return Scores(
        clip_t=metrics.clip_t(seen, text),
        clip_i=metrics.clip_i(seen, references.clip),
        dino_i=metrics.dino_i(bench.judges.images("dino", list(frames)), references.dino),
        consistency=metrics.temporal_consistency(seen),
        colour=metrics.colour_similarity(colours, references.colours),
    )


def score_all(
    bench: Bench, made: Frames, specs: Sequence[clips.ClipSpec], references: dict[str, References]
) -> list[Scores]:
    return [score(bench, frames, spec, references[spec.word]) for frames, spec in zip(made, specs, strict=True)]


def correlations(bench: Bench, made: Frames, specs: Sequence[clips.ClipSpec]) -> list[float]:
    """Each clip's trajectory against the one asked for; 0 where the sprite was not found in every frame."""
    readings = bench.instruments.read(to_pixels(made))
    found = [readings.tracked(i) for i in range(len(made))]
    return [
        0.0 if track is None else metrics.trajectory_correlation(track, track_of(spec))
        for track, spec in zip(found, specs, strict=True)
    ]


@dataclass(frozen=True)
class Followed:
    """In which clips object, scene and motion are those asked for (1) or others (0)."""

    object: list[float]
    scene: list[float]
    motion: list[float]


def followed(readings: Readings, specs: Sequence[clips.ClipSpec]) -> Followed:
    return Followed(
        object=[float(a == s.word) for a, s in zip(readings.objects, specs, strict=True)],
        scene=[float(a == s.scene) for a, s in zip(readings.scenes, specs, strict=True)],
        motion=[float(a == s.motion) for a, s in zip(readings.motions, specs, strict=True)],
    )


def read(bench: Bench, made: Frames) -> Readings:
    return bench.instruments.read(to_pixels(made))


def mean(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).mean())


def means(scores: Sequence[Scores]) -> dict[str, float]:
    """Each metric's mean."""
    return {name: mean([getattr(s, name) for s in scores]) for name in METRICS}


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


def gap_closed(bare: dict[str, float], made: dict[str, float], real: dict[str, float], name: str) -> float:
    """How much of the way from the bare base to real renderings a metric has gone: 0 nothing, 1 all of it."""
    return (made[name] - bare[name]) / (real[name] - bare[name])


def rated(requests: Sequence[Request]) -> list[clips.ClipSpec]:
    return [r.spec for r in requests]


def described(spec: clips.ClipSpec, *parts: Any) -> str:
    """A sheet's label: what was asked for, and what came of it."""
    return ": ".join([clips.caption(spec.word, spec.motion, spec.scene), *map(str, parts)])

"""Figure 6: each part matters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.figures.bench import Bench, Figure, FigureRow
from benchmarks.figures.customizing import both_specs, centred, make_both, subjects_of, taught_motions
from benchmarks.figures.material import Frames
from benchmarks.figures.measures import METRICS, correlations, described, mean, references_of, score_all
from engine.evaluation.statistics import paired_interval

EXPECTED: dict[str, dict[str, str]] = {
    "without textual identity": dict.fromkeys(("clip_t", "clip_i", "dino_i", "consistency"), "falls"),
    "without appearance guidance": dict.fromkeys(("clip_t", "clip_i", "dino_i", "consistency"), "falls"),
    "without the motion adapter": {
        "clip_t": "falls", "clip_i": "rises", "dino_i": "rises", "consistency": "falls",
    },
    "without the identity adapter": {},
}  # fmt: skip
"""What the paper's Table 5 says; the last row is an addition to it."""


def each_part_matters(bench: Bench) -> Figure:
    """Leave out one part at a time and compare, cell by cell, with all of them together."""
    cells = {"all parts": _cells(bench, "all parts")} | {name: _cells(bench, name) for name in EXPECTED}
    whole = cells["all parts"]
    rows = [FigureRow(f"all parts: {name}", mean(values)) for name, values in whole.items()]
    details: dict[str, Any] = {"cells": len(whole["clip_t"]), "all parts": {k: mean(v) for k, v in whole.items()}}
    for variant, expected in EXPECTED.items():
        details[variant] = {}
        for name, values in cells[variant].items():
            change = paired_interval(values, whole[name])
            direction = expected.get(name)
            details[variant][name] = {"value": mean(values), "change": asdict(change), "expected": direction or "open"}
            met = None if direction is None else (change.mean < 0) == (direction == "falls")
            band = f"{change.low:+.3f} to {change.high:+.3f}"
            rows.append(
                FigureRow(f"{variant}: {name}", change.mean, f"{band}{', ' + direction if direction else ''}", met)
            )
    sheets = [_sheet(bench)]
    title = f"Each part matters ({details['cells']} cells; change of leaving it out, 95% interval)"
    return Figure(title, rows, details, sheets)


def _made(bench: Bench, variant: str, word: str) -> Frames:
    """Every motion of one subject with `variant` left out."""
    options: dict[str, Any] = {"token_steps": 0} if variant == "without textual identity" else {}
    if variant == "without the motion adapter":
        taught = {}
    elif variant == "without appearance guidance":
        taught = taught_motions(bench, appearance_guidance=False)
    else:
        taught = taught_motions(bench)
    strength = 0.0 if variant == "without the identity adapter" else bench.config.subject_strength
    return make_both(bench, word, bench.teach_subject(word, **options), taught, subject_strength=strength)


def _cells(bench: Bench, variant: str) -> dict[str, list[float]]:
    """Each metric in each subject-motion cell."""
    values: dict[str, list[float]] = {name: [] for name in (*METRICS, "trajectory")}
    for word in subjects_of(bench):
        specs, made = centred(both_specs(bench, word)), _made(bench, variant, word)
        scores = score_all(bench, made, specs, {word: references_of(bench, word)})
        for name in METRICS:
            values[name] += [float(getattr(s, name)) for s in scores]
        values["trajectory"] += correlations(bench, made, specs)
    return values


def _sheet(bench: Bench) -> str:
    rows = []
    for word in subjects_of(bench)[:2]:
        rows.append((f"the photographs of the {word}", bench.photographs(word)))
        spec = both_specs(bench, word)[0]
        rows += [(described(spec, v), _made(bench, v, word)[0]) for v in ("all parts", *EXPECTED)]
    return bench.sheet("6-parts", rows)

"""Figures 3 to 6: a subject, its learning time, a motion, and both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from benchmarks.figures.asked import Asked, Frames, coloured, of_both, of_motion, of_subject, rendered, subjects
from benchmarks.figures.bench import Bench, Figure, FigureRow, Learnt
from benchmarks.figures.measures import (
    Identified,
    at_least,
    at_most,
    correlations,
    followed,
    identified,
    interval,
    mean,
    value_of,
)
from engine.world import motions

LEARNING_SECONDS = 180
_SHOWN = 2
KINDS = {
    "made": "learnt",
    "bare": "floor: class and colour word",
    "coded": "renderings through the autoencoder",
    "real": "ceiling: renderings",
}
"""What is judged alike: `coded` is all that a base could reach which denoises perfectly."""


def motions_of(bench: Bench) -> list[str]:
    return list(motions.HELD_OUT)[: bench.scale.motions]


def new_subject(bench: Bench) -> Figure:
    """Learn each individual from its photographs and ask for it in known motions and scenes."""
    whole: dict[str, list[Asked]] = {}
    who: dict[str, list[Identified]] = {kind: [] for kind in KINDS}
    right, seconds, sheets = [], {}, []
    for number, one in enumerate(subjects(bench.scale.subjects)):
        taught = bench.teach_subject(one)
        asked = whole[one.class_word] = of_subject(one, number, bench.scale.subject_prompts)
        clips = _beside(bench, asked, bench.generate(asked, Learnt(subject=taught.folder)))
        for kind, frames in clips.items():
            who[kind].append(identified(bench, frames, asked))
        right.append(followed(bench, clips["made"], asked))
        seconds[one.class_word] = taught.seconds
        sheets.append(bench.sheet(f"3-subject-{one.class_word}", _rows(bench, asked, clips)))
    rows = [at_least("top-1 among 64, learnt", mean(_all(who["made"], "top1")), 0.8), *_identity_rows(who)]
    for kind in ("scene", "motion"):
        hits = [hit for one in right for hit in getattr(one, kind)]
        rows.append(_kept(bench, f"{kind} right", mean(hits)))
    details = {
        "top-1": interval(_all(who["made"], "top1")),
        "by subject": {
            word: {kind: {k: mean(v) for k, v in asdict(who[kind][i]).items()} for kind in KINDS}
            | {"followed": {k: mean(v) for k, v in asdict(right[i]).items()}, "seconds": seconds[word]}
            for i, word in enumerate(whole)
        },
    }
    return Figure(f"A subject is learnt ({len(whole)} individuals)", rows, details, sheets)


def learning_time(bench: Bench) -> Figure:
    """How long learning a subject takes, encoding included."""
    seconds = [bench.teach_subject(one).seconds for one in subjects(bench.scale.subjects)]
    rows = [at_most("seconds to learn a subject, the slowest", max(seconds), LEARNING_SECONDS)]
    return Figure("Learning a subject takes minutes", rows, {"seconds": seconds})


def new_motion(bench: Bench) -> Figure:
    """Learn each held-out motion from three clips and ask for it of other classes, by their words."""
    made_r, bare_r, seconds, sheets = {}, {}, {}, []
    kept = []
    for number, name in enumerate(motions_of(bench)):
        taught = bench.teach_motion(name)
        asked = of_motion(name, number, bench.scale.motion_prompts)
        made, bare = bench.generate(asked, Learnt(motion=taught.folder)), bench.generate(asked)
        made_r[name], bare_r[name] = (correlations(bench, frames, asked) for frames in (made, bare))
        kept += followed(bench, made, asked).class_word
        seconds[name] = taught.seconds
        shown = [("one of the clips learnt from", bench.teaching_clips(name)[0])]
        for i in range(min(_SHOWN, len(asked))):
            shown += [(f"bare base: {asked[i].prompt}: r = {bare_r[name][i]:.2f}", bare[i])]
            shown += [(f"learnt: {asked[i].prompt}: r = {made_r[name][i]:.2f}", made[i])]
        sheets.append(bench.sheet(f"5-motion-{name}", shown))
    learnt, before = ([r for rs in table.values() for r in rs] for table in (made_r, bare_r))
    rows = [
        at_least("trajectory correlation", mean(learnt), 0.9),
        FigureRow("trajectory correlation of the bare base", mean(before)),
        _kept(bench, "object right", mean(kept)),
    ]
    details = {
        "trajectory correlation": interval(learnt),
        "by motion": {n: {"learnt": mean(made_r[n]), "bare": mean(bare_r[n]), "seconds": seconds[n]} for n in made_r},
    }
    return Figure(f"A motion is learnt ({len(made_r)} motions, {len(learnt)} clips)", rows, details, sheets)


def both_together(bench: Bench) -> Figure:
    """Each individual in each held-out motion."""
    taught = {name: bench.teach_motion(name).folder for name in motions_of(bench)}
    who: dict[str, list[Identified]] = {kind: [] for kind in KINDS}
    found: dict[str, list[float]] = {name: [] for name in taught}
    right, sheets = [], []
    for number, one in enumerate(subjects(bench.scale.subjects)):
        subject = bench.teach_subject(one).folder
        asked = of_both(one, list(taught), number)
        made = np.concatenate([bench.generate([a], Learnt(subject, taught[a.motion])) for a in asked])
        clips = _beside(bench, asked, made)
        for kind, frames in clips.items():
            who[kind].append(identified(bench, frames, asked))
        for a, r in zip(asked, correlations(bench, made, asked), strict=True):
            found[a.motion].append(r)
        right += followed(bench, made, asked).scene
        sheets.append(bench.sheet(f"6-both-{one.class_word}", _rows(bench, asked, clips)))
    together = mean([r for rs in found.values() for r in rs])
    alone = value_of(bench, "5", "trajectory correlation")
    rows = [at_least("top-1 among 64, learnt", mean(_all(who["made"], "top1")), 0.7), *_identity_rows(who)]
    rows.append(FigureRow("trajectory correlation", together))
    if alone:
        rows.append(at_least("motion fidelity, as a part of the motion's alone", together / alone, 0.9))
    rows.append(_kept(bench, "scene right", mean(right)))
    details = {
        "top-1": interval(_all(who["made"], "top1")),
        "trajectory correlation": interval([r for rs in found.values() for r in rs]),
        "by motion": {name: mean(rs) for name, rs in found.items()},
        "by subject": [{k: mean(v) for k, v in asdict(one).items()} for one in who["made"]],
    }
    return Figure(f"Both together ({len(_all(who['made'], 'top1'))} clips)", rows, details, sheets)


def _beside(bench: Bench, asked: Sequence[Asked], made: Frames) -> dict[str, Frames]:
    """What was made, beside the bare base's from class and colour word, and renderings: a clip of each asked for."""
    real = rendered(asked)
    return {
        "made": made,
        "bare": bench.generate([a.named(coloured(a.one)) for a in asked]),
        "coded": bench.coded(real),
        "real": real,
    }


def _identity_rows(who: dict[str, list[Identified]]) -> list[FigureRow]:
    beside = [kind for kind in KINDS if kind != "made"]
    rows = [FigureRow(f"top-1 among 64, {KINDS[kind]}", mean(_all(who[kind], "top1"))) for kind in beside]
    for name, called in (("among_siblings", "top-1, its own blur left out"), ("rank", "rank"), ("colour", "colour")):
        rows += [FigureRow(f"{called}, {said}", mean(_all(who[kind], name))) for kind, said in KINDS.items()]
    return rows


def _all(found: Sequence[Identified], name: str) -> list[float]:
    return [value for one in found for value in getattr(one, name)]


def _kept(bench: Bench, what: str, value: float) -> FigureRow:
    """A rate that may lie at most 10 points below figure 1's."""
    before = value_of(bench, "1", what)
    return FigureRow(what, value) if before is None else at_least(what, value, before - 0.1)


def _rows(bench: Bench, asked: Sequence[Asked], clips: dict[str, Frames]) -> list[tuple[str, Frames]]:
    shown = [("the photographs", bench.photographs(asked[0].one))]
    for i in range(min(_SHOWN, len(asked))):
        shown += [(f"{said}: {asked[i].prompt}", clips[kind][i]) for kind, said in KINDS.items()]
    return shown

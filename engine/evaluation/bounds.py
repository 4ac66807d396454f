"""Between what a video's scores can lie, where it is known who and what it should show: from real renderings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from engine.errors import InputError
from engine.evaluation.expected import Expected
from engine.evaluation.scoring import Scorer
from engine.media.video import write_video
from engine.world import pictures
from engine.world.individuals import Individual, individual_named, siblings
from engine.world.material import FPS


@dataclass(frozen=True)
class Bounds:
    """A metric's mean over real renderings: of what is wanted, and of what has only its class word."""

    ceiling: float
    floor: float


def bounds_of(
    expected: Expected, motion: str | None, scorer: Scorer, folder: Path, *, seeds: Sequence[int] = (0, 1, 2, 3)
) -> dict[str, Bounds]:
    """Each metric's bounds for videos of an individual in a motion of the world (None: on paths without a name).

    The ceiling is of the individual in that motion, the floor of others of the class, of any colour, on paths by
    chance: what a base gives that was told the class word and the scene alone. Where `expected` has a text, each is
    measured by what a caption says of the individual in that motion over its own scene. The clips are written to
    `folder`, which is there, in new files. Raises `InputError` where `expected` tells of no individual.
    """
    if expected.individual is None:
        raise InputError("bounds are those of an individual of the world: `individual` must name one, such as dog/7")
    one = individual_named(expected.individual)
    others = siblings(one)[::-1]  # the last are of any colour and form
    right = [pictures.clip(one, motion, seed) for seed in seeds]
    wrong = [pictures.clip(others[k % len(others)], None, seed) for k, seed in enumerate(seeds)]
    above, below = (
        _means(clips, name, one, motion, expected, scorer, folder)
        for name, clips in (("ceiling", right), ("floor", wrong))
    )
    return {name: Bounds(above[name], below[name]) for name in above if name in below}


def _means(
    clips: Sequence[pictures.Clip],
    name: str,
    one: Individual,
    motion: str | None,
    expected: Expected,
    scorer: Scorer,
    folder: Path,
) -> dict[str, float]:
    """The mean of each score that all of the clips have."""
    scores = []
    for k, filmed in enumerate(clips):
        path = folder / f"{name}-{k + 1}.mp4"
        write_video(filmed.frames, path, FPS, {}, replace=False)
        text = None if expected.text is None else pictures.caption(one, filmed.scene, motion)
        scores.append(scorer.score(path, replace(expected, text=text)).values)
    columns = {metric: [each[metric] for each in scores] for metric in scores[0]}
    measured = {metric: [value for value in column if value is not None] for metric, column in columns.items()}
    return {metric: fmean(values) for metric, values in measured.items() if len(values) == len(clips)}

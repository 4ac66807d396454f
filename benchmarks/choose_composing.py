"""How strongly to guide a composition, and how long its identity adapter waits, on a base of the world.

    python -m benchmarks.choose_composing --guidance-scale 2.5 4 6 --subject-delay 0 0.2

Individuals and motions that no table shows are learnt with the recommended settings, and every individual goes every
motion at each setting. Identity is the rank among siblings, by pixels (1 is the best of all, 0 the last), motion the
trajectory's correlation; what is chosen has the highest geometric mean of the two, of the settings at which the scene
is still seen, at most 10 points below the best. The bare base's clips in words that it knows are read beside them, as
guidance acts on those, too. Writes every trial to `--out`; what it chooses belongs into the base's recommended.json.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np

from benchmarks.figures.asked import in_known_words, of_both, subjects
from benchmarks.figures.bench import Bench, Learnt, Scale, add_options, location_of, say
from benchmarks.figures.measures import correlations, followed, identified, identity, mean
from benchmarks.figures.trials import add_out, write_trials
from engine.world import motions

INDIVIDUALS, SEEDS, KNOWN = 4, 2, 24
"""How many individuals learn, how many clips of each go a motion, and how many clips are asked for in known words."""


@dataclass(frozen=True)
class Trial:
    """A setting, and what came of it: means over clips, `text` the share of known words that are seen."""

    guidance_scale: float
    subject_delay: float
    identity: float
    motion: float
    scene: float
    text: float

    @property
    def gain(self) -> float:
        return math.sqrt(max(self.identity, 0) * max(self.motion, 0))

    def __str__(self) -> str:
        return f"guidance scale {self.guidance_scale:g}, subject delay {self.subject_delay:g}"


def main() -> None:
    """Try every setting, print and keep what came of it, and name the best."""
    options = _options()
    bench = Bench(location_of(options.base), Scale(), options.out.parent, options.work, options.device)
    trials: list[Trial] = []
    for trial in _trials(bench, options):
        say(
            f"{trial}: identity {trial.identity:.3f}, motion {trial.motion:.3f}, scene {trial.scene:.2f}, "
            f"known words {trial.text:.2f}"
        )
        trials.append(trial)
        write_trials(options.out, bench, "compose", {str(t): asdict(t) for t in trials})
    seen = max(trial.scene for trial in trials) - 0.1
    print(max((trial for trial in trials if trial.scene >= seen), key=lambda t: t.gain))


def _trials(bench: Bench, options: argparse.Namespace) -> Iterator[Trial]:
    ones = subjects(INDIVIDUALS, "settings")
    taught = [bench.teach_subject(one).folder for one in ones]
    moving = {name: bench.teach_motion(name).folder for name in motions.TUNING}
    asked = [
        (number, a)
        for number, one in enumerate(ones)
        for seed in range(SEEDS)
        for a in of_both(one, list(moving), number + seed * len(ones))
    ]
    known = in_known_words(KNOWN)
    for guidance_scale, subject_delay in product(options.guidance_scale, options.subject_delay):
        bare = replace(bench.config, guidance_scale=guidance_scale)
        config = replace(bare, subject_delay=subject_delay)
        made = np.concatenate(
            [bench.generate([a], Learnt(taught[number], moving[a.motion]), config) for number, a in asked]
        )
        wanted = [a for _, a in asked]
        read = followed(bench, bench.generate(known, config=bare), known)
        yield Trial(
            guidance_scale,
            subject_delay,
            identity=identity(identified(bench, made, wanted).rank),
            motion=mean(correlations(bench, made, wanted)),
            scene=mean(followed(bench, made, wanted).scene),
            text=mean([hit for kind in asdict(read).values() for hit in kind]),
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--guidance-scale", nargs="+", type=float, default=(2.5, 4.0, 6.0), help="to try (default: %(default)s)"
    )
    parser.add_argument(
        "--subject-delay", nargs="+", type=float, default=(0.0, 0.2), help="to try (default: %(default)s)"
    )
    add_options(parser)
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""How strongly to guide a composition, how long its identity adapter waits, and when its motion adapter stops.

    python -m benchmarks.choose_composing --guidance-scale 2.5 4 6 --subject-delay 0 0.4 --motion-until 0.5 1

Individuals and motions that no table shows are learnt with the recommended settings on a base of the world, and every
individual goes every motion at each setting. Identity is the rank among siblings, by pixels (1 is the best of all, 0
the last), motion the trajectory's correlation; what is chosen has the highest geometric mean of the two, of the
settings at which the scene is still seen, at most 10 points below the best. Beside them are read the motions alone, of
things named by their class, and the bare base's clips in words that it knows, as guidance acts on those, too. Writes
every trial to `--out`; what it chooses belongs into the base's recommended.json.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np

from benchmarks.figures.asked import in_known_words, of_both, of_motion, subjects
from benchmarks.figures.bench import Bench, Learnt, Scale, add_options, location_of, say
from benchmarks.figures.measures import correlations, followed, identified, identity, mean
from benchmarks.figures.trials import add_out, write_trials
from engine.world import motions

INDIVIDUALS, SEEDS, ALONE, KNOWN = 4, 2, 6, 24
"""How many individuals learn, how many clips of each go a motion, and how many clips are asked for of each motion alone
and in known words."""


@dataclass(frozen=True)
class Trial:
    """A setting, and what came of it: means over clips, `class_alone` the share of them in which the class is seen that
    the motion alone was asked of, `text` the share of known words that are seen."""

    guidance_scale: float
    subject_delay: float
    motion_until: float
    identity: float
    motion: float
    motion_alone: float
    class_alone: float
    scene: float
    text: float

    @property
    def gain(self) -> float:
        return math.sqrt(max(self.identity, 0) * max(self.motion, 0))

    def __str__(self) -> str:
        return (
            f"guidance scale {self.guidance_scale:g}, subject delay {self.subject_delay:g}, "
            f"motion until {self.motion_until:g}"
        )


def main() -> None:
    """Try every setting, print and keep what came of it, and name the best."""
    options = _options()
    bench = Bench(location_of(options.base), Scale(), options.out.parent, options.work, options.device)
    trials: list[Trial] = []
    for trial in _trials(bench, options):
        say(
            f"{trial}: identity {trial.identity:.3f}, motion {trial.motion:.3f}, scene {trial.scene:.2f}, "
            f"motion alone {trial.motion_alone:.3f}, its class {trial.class_alone:.2f}, known words {trial.text:.2f}"
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
    alone = {name: of_motion(name, number, ALONE) for number, name in enumerate(moving)}
    named = [a for each in alone.values() for a in each]
    for guidance_scale, delay, until in product(options.guidance_scale, options.subject_delay, options.motion_until):
        config = replace(bench.config, guidance_scale=guidance_scale, subject_delay=delay, motion_until=until)
        made = np.concatenate(
            [bench.generate([a], Learnt(taught[number], moving[a.motion]), config) for number, a in asked]
        )
        wanted = [a for _, a in asked]
        read = followed(bench, bench.generate(known, config=config), known)
        going = np.concatenate([bench.generate(each, Learnt(motion=moving[m]), config) for m, each in alone.items()])
        yield Trial(
            guidance_scale,
            delay,
            until,
            identity=identity(identified(bench, made, wanted).rank),
            motion=mean(correlations(bench, made, wanted)),
            motion_alone=mean(correlations(bench, going, named)),
            class_alone=mean(followed(bench, going, named).class_word),
            scene=mean(followed(bench, made, wanted).scene),
            text=mean([hit for kind in asdict(read).values() for hit in kind]),
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--guidance-scale", nargs="+", type=float, default=(2.5, 4.0, 6.0), help="to try (default: %(default)s)"
    )
    parser.add_argument(
        "--subject-delay", nargs="+", type=float, default=(0.0, 0.2, 0.4), help="to try (default: %(default)s)"
    )
    parser.add_argument(
        "--motion-until", nargs="+", type=float, default=(0.5, 1.0), help="to try (default: %(default)s)"
    )
    add_options(parser)
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()

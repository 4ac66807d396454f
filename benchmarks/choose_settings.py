"""Learning rates and steps that suit a base of the world: the same search for every method, none a straw man.

    python -m benchmarks.choose_settings --kind subject --method dreamvideo lora
    python -m benchmarks.choose_settings --kind motion --steps 200 400

Each method learns individuals (or motions) that no table shows, with each optimizer, rate and number of steps: first
one of them, then, with the settings that did best (`--finalists`), all. A subject is judged by its rank among its
siblings, by pixels; a motion by its trajectory; of the settings at which what was asked for besides (scene, or class)
is still seen, at most 10 points below the bare base, the best is chosen. Writes every trial to `--out`; what it
chooses belongs into the base's recommended.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.figures.asked import coloured, of_motion, of_subject, subjects
from benchmarks.figures.bench import Bench, Learnt, Scale, add_options, location_of, say
from benchmarks.figures.measures import correlations, followed, identified, mean
from engine.errors import DivergedError
from engine.files import written_aside
from engine.methods.common import Kind, Method, switch_of
from engine.methods.table import DEFAULT, method_named, methods_of, reads, recommended_for
from engine.settings import as_values
from engine.world import motions
from engine.world.individuals import Individual

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
OPTIMIZERS = ("adamw", "muon")
FINALISTS = 2
_SEARCHED = {
    "adapter_learning_rate": "adapter_steps", "learning_rate": "steps", "token_learning_rate": "token_steps",
}  # fmt: skip
"""By the option of a rate the one of its steps; of what a method has, the first."""
INDIVIDUALS, PROMPTS = 4, 6
"""How many individuals learn, and how many clips are asked of each, and of each motion."""
SIBLINGS = 63


@dataclass(frozen=True)
class Trial:
    """A method with one optimizer at one rate, for so many steps: `gain` is what it is chosen by, `kept` the share of
    clips whose scene (or class) is seen, `kept_before` the bare base's."""

    method: str
    optimizer: str
    option: str
    rate: float
    steps: int
    gain: float
    kept: float
    kept_before: float
    seconds: float
    by_source: dict[str, float]

    @property
    def allowed(self) -> bool:
        return self.kept >= self.kept_before - 0.1

    @property
    def rank(self) -> tuple[int, bool, float]:
        """By which the best is chosen: those that learnt everything come first."""
        return len(self.by_source), self.allowed, self.gain

    def __str__(self) -> str:
        return f"{self.method} with {self.optimizer} at {self.rate:g}, {self.steps} steps, {'+'.join(self.by_source)}"


def main() -> None:
    """Try the rates of the methods asked for, and print and keep what came of them."""
    options = _options()
    bench = Bench(location_of(options.base), Scale(), options.out.parent, options.work, options.device)
    trials: list[Trial] = []
    for name in options.method:
        for trial in _trials(bench, options.kind, method_named(options.kind, name), options):
            say(f"{trial}: gain {trial.gain:.3f}, kept {trial.kept:.2f} of {trial.kept_before:.2f}")
            trials.append(trial)
            _write(options.out, bench, options.kind, trials)
    for name in options.method:
        chosen = max((t for t in trials if t.method == name), key=lambda t: t.rank)
        print(f"{chosen} (gain {chosen.gain:.3f}, kept {chosen.kept:.2f})")


def _trials(bench: Bench, kind: Kind, method: Method, options: argparse.Namespace) -> Iterator[Trial]:
    """A method at each setting; of what learns in two steps the second is searched, with the first as recommended."""
    settings = method.settings()
    rate_option = next(name for name in _SEARCHED if name in reads(method) and switch_of(settings, name) is None)
    steps_option = _SEARCHED[rate_option]
    recommended = {**as_values(settings), **recommended_for(method, bench.info.recommended)}
    count = INDIVIDUALS if kind == "subject" else len(motions.TUNING)

    def tried(optimizer: str, rate: float, steps: int, count: int) -> Trial:
        taught = {"optimizer": optimizer, rate_option: rate, steps_option: steps}
        try:
            if kind == "subject":
                measured = _subject(bench, method.name, taught, subjects(count, "settings"))
            else:
                measured = _motion(bench, method.name, taught, list(motions.TUNING)[:count])
        except DivergedError:
            measured = (0.0, 0.0, 1.0, 0.0, {})
        return Trial(method.name, optimizer, rate_option, rate, steps, *measured)

    heats = []
    for setting in product(options.optimizers, options.rates, options.steps or [recommended[steps_option]]):
        heats.append(tried(*setting, 1))
        yield heats[-1]
    for heat in sorted(heats, key=lambda t: t.rank, reverse=True)[: options.finalists]:
        yield tried(heat.optimizer, heat.rate, heat.steps, count)


Measured = tuple[float, float, float, float, dict[str, float]]
"""Gain, kept, kept before, seconds, and the gain by source: no source where learning diverged."""


def _subject(bench: Bench, method: str, options: dict[str, object], ones: Sequence[Individual]) -> Measured:
    gains, kept, before, seconds = {}, [], [], []
    for number, one in enumerate(ones):
        taught = bench.teach_subject(one, method, **options)
        asked = of_subject(one, number, PROMPTS)
        made = bench.generate(asked, Learnt(subject=taught.folder))
        bare = bench.generate([a.named(coloured(one)) for a in asked])
        ranks = identified(bench, made, asked).rank
        gains[one.class_word] = mean([1 - math.log(rank) / math.log(1 + SIBLINGS) for rank in ranks])
        kept += followed(bench, made, asked).scene
        before += followed(bench, bare, asked).scene
        seconds.append(taught.seconds)
    return mean(list(gains.values())), mean(kept), mean(before), max(seconds), gains


def _motion(bench: Bench, method: str, options: dict[str, object], names: Sequence[str]) -> Measured:
    gains, kept, before, seconds = {}, [], [], []
    for number, name in enumerate(names):
        taught = bench.teach_motion(name, method, **options)
        asked = of_motion(name, number, PROMPTS)
        made, bare = bench.generate(asked, Learnt(motion=taught.folder)), bench.generate(asked)
        gains[name] = mean(correlations(bench, made, asked))
        kept += followed(bench, made, asked).class_word
        before += followed(bench, bare, asked).class_word
        seconds.append(taught.seconds)
    return mean(list(gains.values())), mean(kept), mean(before), max(seconds), gains


def _write(path: Path, bench: Bench, kind: Kind, trials: list[Trial]) -> None:
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if kept.get("base") != bench.fingerprint:
        kept = {"base": bench.fingerprint}
    now = {str(t): asdict(t) | {"allowed": t.allowed} for t in trials}
    kept[kind] = kept.get(kind, {}) | now
    with written_aside(path) as partial:
        partial.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("subject", "motion"), required=True, help="what is learnt")
    parser.add_argument("--method", nargs="+", default=[DEFAULT], help="methods to try, or all (default: %(default)s)")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="learning rates (default: %(default)s)")
    parser.add_argument("--steps", nargs="+", type=int, help="numbers of steps (default: the recommended one)")
    parser.add_argument("--optimizers", nargs="+", default=OPTIMIZERS, help="optimizers (default: %(default)s)")
    parser.add_argument(
        "--finalists",
        type=int,
        default=FINALISTS,
        help="settings that go on from one source to all (default: %(default)s)",
    )
    add_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("docs") / "embedded-base" / "settings.json",
        help="where the trials are kept (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args()
    if options.method == ["all"]:
        options.method = list(methods_of(options.kind))
    return options


if __name__ == "__main__":
    main()

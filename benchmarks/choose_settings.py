"""Learning rates and steps that suit a base of the world: the same search for every method, none a straw man.

    python -m benchmarks.choose_settings --kind subject --method dreamvideo lora
    python -m benchmarks.choose_settings --kind motion --steps 200 400

Each method learns individuals (or motions) that no table shows, with each optimizer, rate and number of steps: first
one of them, then, with the settings that did best (`--finalists`), all. Where a method learns a token and an adapter,
the token is searched alone, by AdamW (Muon takes matrices), and then the adapter with the best token. A subject is
judged by its rank among its siblings, by pixels; a motion by its trajectory; of the settings at which what was asked
for besides (scene, or class) is still seen, at most 10 points below the bare base, the best is chosen. Writes every
trial to `--out`; what it chooses belongs into the base's recommended.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product

from benchmarks.figures.asked import coloured, of_motion, of_subject, subjects
from benchmarks.figures.bench import Bench, Learnt, Scale, add_options, location_of, say
from benchmarks.figures.measures import correlations, followed, identified, identity, mean
from benchmarks.figures.trials import add_out, write_trials
from engine.errors import DivergedError
from engine.methods.common import Kind, Method, switch_of
from engine.methods.table import DEFAULT, method_named, methods_of, reads, recommended_for
from engine.planning import recommended_composing
from engine.settings import as_values
from engine.world import motions
from engine.world.individuals import Individual

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
TOKEN_RATES = (3e-3, 1e-2, 3e-2, 1e-1)
"""Higher ones: a token alone has to go all the way from its class word's embedding to the individual's."""
OPTIMIZERS = ("adamw", "muon")
FINALISTS = 2


@dataclass(frozen=True)
class Part:
    """What of a method is searched by itself: the options of its rate and steps, and what is left out meanwhile."""

    rate: str
    steps: str
    without: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_token(self) -> bool:
        return self.rate == "token_learning_rate"


_PARTS = (
    Part("token_learning_rate", "token_steps", {"identity_adapter": False}),
    Part("adapter_learning_rate", "adapter_steps"),
    Part("learning_rate", "steps"),
)
"""In the order in which they are learnt."""
INDIVIDUALS, PROMPTS = 4, 6
"""How many individuals learn, and how many clips are asked of each, and of each motion."""


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
        sources = "+".join(self.by_source)
        return f"{self.method}: {self.option} {self.rate:g} with {self.optimizer}, {self.steps} steps, {sources}"


def main() -> None:
    """Try the rates of the methods asked for, and print and keep what came of them."""
    options = _options()
    bench = Bench(location_of(options.base), Scale(), options.out.parent, options.work, options.device)
    trials: list[Trial] = []
    for name in options.method:
        for trial in _trials(bench, options.kind, method_named(options.kind, name), options):
            say(f"{trial}: gain {trial.gain:.3f}, kept {trial.kept:.2f} of {trial.kept_before:.2f}")
            trials.append(trial)
            kept = {str(t): asdict(t) | {"allowed": t.allowed} for t in trials}
            write_trials(options.out, bench, options.kind, kept)
    for name, option in dict.fromkeys((t.method, t.option) for t in trials):
        chosen = _best(t for t in trials if (t.method, t.option) == (name, option))
        print(f"{chosen} (gain {chosen.gain:.3f}, kept {chosen.kept:.2f})")


def _parts(method: Method) -> list[Part]:
    """What a method learns, in turn."""
    settings = method.settings()
    return [part for part in _PARTS if part.rate in reads(method) and switch_of(settings, part.rate) is None]


def _trials(bench: Bench, kind: Kind, method: Method, options: argparse.Namespace) -> Iterator[Trial]:
    """A method at each setting, part by part: what was chosen for a part stays while the next one is searched."""
    recommended = {**as_values(method.settings()), **recommended_for(method, bench.info.recommended)}
    count = INDIVIDUALS if kind == "subject" else len(motions.TUNING)
    chosen: dict[str, object] = {}

    def tried(part: Part, optimizer: str, rate: float, steps: int, count: int) -> Trial:
        left_out = {option: value for option, value in part.without.items() if option in reads(method)}
        taught = {**chosen, **left_out, "optimizer": optimizer, part.rate: rate, part.steps: steps}
        try:
            if kind == "subject":
                measured = _subject(bench, method.name, taught, subjects(count, "settings"))
            else:
                measured = _motion(bench, method.name, taught, list(motions.TUNING)[:count])
        except DivergedError:
            measured = (0.0, 0.0, 1.0, 0.0, {})
        return Trial(method.name, optimizer, part.rate, rate, steps, *measured)

    for part in _parts(method):
        rates, steps = options.rates, options.steps
        if part.is_token:
            rates, steps = options.token_rates, options.token_steps
        optimizers = ["adamw"] if part.is_token else options.optimizers
        heats, finals = [], []
        for setting in product(optimizers, rates, steps or [recommended[part.steps]]):
            heats.append(tried(part, *setting, 1))
            yield heats[-1]
        for heat in sorted(heats, key=lambda t: t.rank, reverse=True)[: options.finalists]:
            finals.append(tried(part, heat.optimizer, heat.rate, heat.steps, count))
            yield finals[-1]
        best = _best([*heats, *finals])
        chosen |= {part.rate: best.rate, part.steps: best.steps}


def _best(trials: Iterable[Trial]) -> Trial:
    return max(trials, key=lambda t: t.rank)


Measured = tuple[float, float, float, float, dict[str, float]]
"""Gain, kept, kept before, seconds, and the gain by source: no source where learning diverged."""


def _subject(bench: Bench, method: str, options: dict[str, object], ones: Sequence[Individual]) -> Measured:
    gains, kept, before, seconds = {}, [], [], []
    config = recommended_composing(bench.info, method)
    for number, one in enumerate(ones):
        taught = bench.teach_subject(one, method, **options)
        asked = of_subject(one, number, PROMPTS)
        made = bench.generate(asked, Learnt(subject=taught.folder), config)
        bare = bench.generate([a.named(coloured(one)) for a in asked])
        ranks = identified(bench, made, asked).rank
        gains[one.class_word] = identity(ranks)
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("subject", "motion"), required=True, help="what is learnt")
    parser.add_argument("--method", nargs="+", default=[DEFAULT], help="methods to try, or all (default: %(default)s)")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="learning rates (default: %(default)s)")
    parser.add_argument("--steps", nargs="+", type=int, help="numbers of steps (default: the recommended one)")
    parser.add_argument(
        "--token-rates", nargs="+", type=float, default=TOKEN_RATES,
        help="learning rates of a token that is learnt by itself (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--token-steps", nargs="+", type=int, help="its steps (default: the recommended ones)")
    parser.add_argument("--optimizers", nargs="+", default=OPTIMIZERS, help="optimizers (default: %(default)s)")
    parser.add_argument(
        "--finalists",
        type=int,
        default=FINALISTS,
        help="settings that go on from one source to all (default: %(default)s)",
    )
    add_options(parser)
    add_out(parser)
    options = parser.parse_args()
    if options.method == ["all"]:
        options.method = list(methods_of(options.kind))
    return options


if __name__ == "__main__":
    main()

"""The judges on what is known: the one by pixels on renderings of individuals, blurs, siblings and empty scenes, and
the learned ones of a base on photographs of two individuals of one class and colour word.

    python -m benchmarks.judges --individuals 2 --split settings --seed 1 --failures /tmp/failures

Each individual is filmed in a clip and photographed four times. A line of the table tells in which share of these the
individual was found (top-1), its mean rank, its colours' likeness, in which share of frames its place was missed by
more than two pixels, and the seconds that a clip of 8 frames took. A second table tells how often a learned judge finds
the right individual nearer than the other, over another scene and over the very scene of the picture compared with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.figures.asked import to_pixels
from benchmarks.figures.bench import location_of
from engine.bases.location import inspect_base
from engine.evaluation.drawings import bank_against, blurred
from engine.evaluation.identification import Identification, identify
from engine.evaluation.judge_checks import individuals_told_apart
from engine.evaluation.judges import Judges, judges_of
from engine.world import backgrounds, motions, pictures
from engine.world.drawing import draw
from engine.world.individuals import FORMS, SPLITS, Individual, individual, siblings

PHOTOGRAPHS = 4
MISSED = 2 / pictures.SIZE
"""Frame widths by which a place may be wrong."""


@dataclass(frozen=True)
class Shown:
    """Frames `(F, 3, H, W)` in [0, 1], who is looked for in them, and, where it is there, its places `(F, 2)`."""

    kind: str
    one: Individual
    name: str
    frames: Tensor
    centres: Tensor | None = None


@dataclass(frozen=True)
class Outcome:
    """What the judge said of it, and how long it took, per 8 frames."""

    shown: Shown
    result: Identification
    seconds: float

    @property
    def missed(self) -> float:
        """The share of frames in which the place was missed."""
        if self.shown.centres is None:
            return float("nan")
        return float(((self.result.centres - self.shown.centres).abs().amax(dim=1) > MISSED).float().mean())


def main() -> None:
    """Judge everything and print the table."""
    options = _options()
    torch.set_num_threads(1)
    kinds: dict[str, list[Outcome]] = {}
    for k in range(options.individuals):
        for word in options.classes:
            for shown in shown_of(word, options.seed + k, options.split, options.kinds):
                outcome = judged(shown)
                kinds.setdefault(shown.kind, []).append(outcome)
                if shown.centres is not None and "blur" not in shown.kind and not outcome.result.found:
                    print(f"not found: {shown.kind} of {shown.name}, rank {outcome.result.rank}", flush=True)
                    if options.failures is not None:
                        keep(outcome, options.failures)
    print(table(kinds))
    print(table_of_learned(judges_of(inspect_base(location_of(options.base))), options.split), end="")


def shown_of(word: str, seed: int, split: str, kinds: list[str]) -> Iterator[Shown]:
    """Everything that is shown of one individual, of the kinds that are asked for."""
    one = individual(word, seed, split)
    for kind in kinds:
        yield from KINDS[kind](kind, one, f"{word} {seed} of {split}", seed)


def clip(kind: str, one: Individual, name: str, seed: int) -> Iterator[Shown]:
    """A clip in a motion of its own for each seed and class."""
    names = list(motions.ALL)
    motion = names[(5 * seed + list(FORMS).index(one.class_word)) % len(names)]
    filmed = pictures.clip(one, motion, seed)
    yield Shown(kind, one, f"{name}, {motion}", to_pixels(filmed.frames), torch.from_numpy(filmed.centres))


def photographs(kind: str, one: Individual, name: str, seed: int) -> Iterator[Shown]:
    """Four photographs, judged as a set."""
    taken = [pictures.photograph(one, PHOTOGRAPHS * seed + k) for k in range(PHOTOGRAPHS)]
    frames = to_pixels(np.stack([one.pixels for one in taken]))
    yield Shown(kind, one, name, frames, torch.tensor([one.centre for one in taken]))


def photograph(kind: str, one: Individual, name: str, seed: int) -> Iterator[Shown]:
    """The same photographs, judged each alone."""
    for together in photographs(kind, one, name, seed):
        assert together.centres is not None
        for k in range(PHOTOGRAPHS):
            yield Shown(kind, one, f"{name}, {k}", together.frames[k : k + 1], together.centres[k : k + 1])


def blur(spread: float) -> Callable[[str, Individual, str, int], Iterator[Shown]]:
    """Clips, blurred by so many pixels."""

    def blurs(kind: str, one: Individual, name: str, seed: int) -> Iterator[Shown]:
        for sharp in clip(kind, one, name, seed):
            yield Shown(kind, one, name, blurred(sharp.frames, spread), sharp.centres)

    return blurs


def sibling(kind: str, one: Individual, name: str, seed: int) -> Iterator[Shown]:
    """A clip of a sibling, in which the individual is looked for."""
    others = siblings(one)
    for shown in clip(kind, others[(7 * seed) % len(others)], name, seed):
        yield Shown(kind, one, shown.name, shown.frames)


def empty(kind: str, one: Individual, name: str, seed: int) -> Iterator[Shown]:
    """Empty scenes."""
    scenes = list(backgrounds.PHRASES)
    painted = [backgrounds.paint(scenes[(seed + k) % len(scenes)], seed) for k in range(4)]
    yield Shown(kind, one, name, torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2))


KINDS: dict[str, Callable[[str, Individual, str, int], Iterator[Shown]]] = {
    "clip": clip,
    "photographs": photographs,
    "photograph": photograph,
    "blur of 1 px": blur(1),
    "blur of 2 px": blur(2),
    "blur of 3 px": blur(3),
    "a sibling": sibling,
    "empty scenes": empty,
}


def judged(shown: Shown) -> Outcome:
    """Identify, not counting the time of drawing who is compared with, which is done once for an individual."""
    bank_against(shown.one, 63)
    started = time.thread_time()
    result = identify(shown.frames, shown.one)
    return Outcome(shown, result, (time.thread_time() - started) * 8 / len(shown.frames))


def table(kinds: dict[str, list[Outcome]]) -> str:
    """A line a kind, in Markdown."""
    lines = [
        "| shown | of them | top-1 | mean rank | colour likeness | place missed | seconds |",
        "|---|" + "---:|" * 6,
    ]
    for kind, outcomes in kinds.items():
        count = len(outcomes)
        found, ranks, colours, missed, seconds = (
            sum(values) / count
            for values in (
                [float(o.result.found) for o in outcomes],
                [float(o.result.rank) for o in outcomes],
                [o.result.colour for o in outcomes],
                [o.missed for o in outcomes],
                [o.seconds for o in outcomes],
            )
        )
        lines.append(f"| {kind} | {count} | {found:.3f} | {ranks:.1f} | {colours:.2f} | {missed:.3f} | {seconds:.2f} |")
    return "\n".join(lines) + "\n"


def table_of_learned(judges: Judges, split: str) -> str:
    """A line a learned judge, in Markdown."""
    lines = ["| judge | comparisons | right, other scene | right, same scene |", "|---|" + "---:|" * 3]
    for name in judges.models:
        told = individuals_told_apart(judges[name], split=split)
        lines.append(f"| {name} | {told.comparisons} | {told.other_scene:.3f} | {told.same_scene:.3f} |")
    return "\n".join(lines) + "\n"


def keep(outcome: Outcome, folder: Path) -> None:
    """A sheet of what was missed: its frames, then the individual and who was taken for it (none for its blur)."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = outcome.shown
    others = siblings(shown.one)
    errors = outcome.result.errors[:-1]
    drawn = [shown.one, others[int(errors[1:].argmin())]]
    cells = [frame.permute(1, 2, 0).numpy() for frame in shown.frames]
    for one in drawn:
        picture = draw(one, pictures.SIZE)
        cells.append(picture[..., :3] + 0.7 * (1 - picture[..., 3:]))
    sheet = np.kron(np.concatenate(cells, axis=1), np.ones((3, 3, 1)))
    file = folder / f"{shown.kind} of {shown.name}.png"
    Image.fromarray((sheet.clip(0, 1) * 255).round().astype(np.uint8)).save(file)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="whose learned judges (default: the embedded base)")
    parser.add_argument("--individuals", type=int, default=1, help="of each class")
    parser.add_argument("--split", choices=SPLITS, default="settings")
    parser.add_argument("--seed", type=int, default=1, help="of the first individual")
    parser.add_argument("--classes", nargs="+", choices=tuple(FORMS), default=list(FORMS), metavar="CLASS")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--failures", type=Path, metavar="FOLDER", help="where to write a sheet of each that is missed")
    return parser.parse_args()


if __name__ == "__main__":
    main()

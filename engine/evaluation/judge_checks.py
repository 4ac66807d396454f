"""Whether a judge can tell the world's individuals apart: its own figures, to stand beside what it judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.evaluation.judges import Judge
from engine.world import backgrounds, pictures
from engine.world.individuals import CLASSES, Individual, colour_word, individual, siblings


@dataclass(frozen=True)
class ToldApart:
    """In what share of `comparisons` the right individual, over another scene, was nearer than a wrong one: over a
    third scene, and, harder, over the very scene of the picture that both are compared with."""

    other_scene: float
    same_scene: float
    comparisons: int


def individuals_told_apart(judge: Judge, *, split: str = "figures", count: int = 240, seed: int = 0) -> ToldApart:
    """Compare `count` photographs of individuals of a split with another of the same individual, and with ones of
    another individual of the same class and colour word, by the cosine of the judge's features."""
    rows = [_photographs(n, split, seed) for n in range(count)]
    features = torch.nn.functional.normalize(judge.images([pixels for row in rows for pixels in row]), dim=-1)
    shown, right, elsewhere, here = features.unflatten(0, (count, 4)).unbind(1)

    def nearer(wrong: torch.Tensor) -> float:
        return float(((shown * right).sum(-1) > (shown * wrong).sum(-1)).float().mean())

    return ToldApart(nearer(elsewhere), nearer(here), count)


def _photographs(n: int, split: str, seed: int) -> list[pictures.Pixels]:
    """An individual, the same over a second scene, another over a third, and that other over the first."""
    generator = np.random.default_rng([seed, n])
    one = individual(CLASSES[n % len(CLASSES)], int(generator.integers(2**31)), split)
    other = _alike(one, generator)
    scenes = generator.choice(list(backgrounds.PHRASES), 3, replace=False).tolist()
    taken = [(one, scenes[0]), (one, scenes[1]), (other, scenes[2]), (other, scenes[0])]
    return [pictures.photograph(who, int(generator.integers(2**31)), scene=scene).pixels for who, scene in taken]


def _alike(one: Individual, generator: np.random.Generator) -> Individual:
    """Another of the class and colour word."""
    others = [other for other in siblings(one) if colour_word(other) == colour_word(one)]
    return others[int(generator.integers(len(others)))]

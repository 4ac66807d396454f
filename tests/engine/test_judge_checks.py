"""What a judge's own figures say of judges that see everything, nothing, or only the scene."""

from __future__ import annotations

import pytest
import torch

from engine.evaluation.judge_checks import individuals_told_apart
from engine.evaluation.judges import Pictures
from engine.world import pictures
from engine.world.individuals import Individual, colour_word, split_of


class FixedJudge:
    """Features by a rule of the test's own."""

    identity = "test"

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows = rows

    def images(self, pictures: Pictures) -> torch.Tensor:
        return self.rows.repeat(len(pictures) // len(self.rows), 1)


def test_a_judge_of_individuals_is_told_from_a_judge_of_scenes() -> None:
    # Of each four pictures two show the one and two the other individual; the first and last share a scene.
    by_individual = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    by_scene = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    sharp, blind = (individuals_told_apart(FixedJudge(rows), count=4) for rows in (by_individual, by_scene))
    assert (sharp.other_scene, sharp.same_scene, sharp.comparisons) == (1.0, 1.0, 4)
    assert blind.same_scene == 0.0


def test_the_wrong_individual_is_another_of_the_right_one_s_class_and_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Individual] = []
    photograph = pictures.photograph

    def noted(one: Individual, seed: int, *, scene: str) -> pictures.Picture:
        shown.append(one)
        return photograph(one, seed, scene=scene)

    monkeypatch.setattr(pictures, "photograph", noted)
    individuals_told_apart(FixedJudge(torch.eye(4)), split="settings", count=6)
    assert len(shown) == 24
    for right, again, wrong, same in zip(*(iter(shown),) * 4, strict=True):
        assert right == again != wrong == same
        assert (wrong.class_word, colour_word(wrong)) == (right.class_word, colour_word(right))
        assert split_of(right) == "settings"

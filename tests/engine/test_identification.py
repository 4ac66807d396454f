"""The judge by pixels: it knows individuals in real renderings, and is not fooled by a blur or another individual."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.evaluation.drawings import blurred
from engine.evaluation.identification import identify, track
from engine.evaluation.metrics import trajectory_correlation
from engine.world import backgrounds, pictures
from engine.world.individuals import FORMS, individual, siblings

SCENES = list(backgrounds.PHRASES)


def frames_of(*taken: pictures.Picture) -> Tensor:
    return torch.stack([torch.from_numpy(p.pixels).permute(2, 0, 1).float() / 255 for p in taken])


@pytest.mark.parametrize("word", FORMS)
def test_real_renderings_are_known_in_every_class_scene_and_pose(word: str) -> None:
    """Each photograph alone is enough: mirrored, tilted, looking aside, blinking, in any light."""
    one, first = individual(word, 5), list(FORMS).index(word)
    scenes = [SCENES[(first + k) % len(SCENES)] for k in range(2)]
    taken = [pictures.photograph(one, 50 + k, scene=scene) for k, scene in enumerate(scenes)]
    result = identify(frames_of(*taken), one)
    assert (result.frame_errors.argmin(dim=1) == 0).all(), scenes
    assert (result.found, result.rank) == (True, 1)
    assert result.colour > 0.5
    assert (result.centres - torch.tensor([p.centre for p in taken])).abs().max() * 64 < 2


def test_another_individual_is_not_taken_for_the_one_that_was_wanted() -> None:
    one = individual("dog", 12)
    others = siblings(one, 63)[::16]
    results = [identify(frames_of(pictures.photograph(other, seed)), one) for seed, other in enumerate(others)]
    assert not any(result.found for result in results)


def test_a_blur_scores_low() -> None:
    """The colours in their places are not enough: in every class less is found, and in less like colours."""
    sharp, softer, softest = [], [], []
    for seed, word in enumerate(FORMS):
        one = individual(word, 5)
        frames = frames_of(pictures.photograph(one, seed))
        sharp.append(identify(frames, one))
        softer.append(identify(blurred(frames, 2.4), one))
        softest.append(identify(blurred(frames, 3.5), one))
    assert all(result.found and result.sharp for result in sharp)
    assert sum(result.found for result in softer + softest) <= len(FORMS) // 4
    assert not any(result.sharp for result in softest)
    assert all(result.rank > 1 for result in softest)
    assert sum(result.found_among_siblings for result in softer) >= len(FORMS) // 2
    assert sum(result.colour for result in softest) / len(FORMS) < 0.45
    assert all(soft.colour < clear.colour for soft, clear in zip(softest, sharp, strict=True))


def test_an_empty_scene_is_nobody() -> None:
    one = individual("cat", 2)
    empty = torch.from_numpy(backgrounds.paint("sea", 4)).permute(2, 0, 1)[None]
    assert identify(empty, one).errors[0] > 0.02


@pytest.mark.parametrize(("word", "motion"), [("boat", "zigzag"), ("rabbit", "circling")])
def test_the_track_is_where_the_individual_went(word: str, motion: str) -> None:
    one = individual(word, 6)
    filmed = pictures.clip(one, motion, 9)
    frames = torch.from_numpy(filmed.frames).permute(0, 3, 1, 2).float() / 255
    centres = track(frames, one)
    assert (centres - torch.from_numpy(filmed.centres)).abs().max() * 64 < 2
    assert trajectory_correlation(centres, torch.from_numpy(filmed.centres)) > 0.97

"""Flow against motion that is known, because it was rendered; scores of motion between clips of the world."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.evaluation.flow import Flow, flow_of
from engine.evaluation.motion import motion_amount_curve, motion_fidelity_curve, motion_signature
from engine.world.individuals import individual_named
from engine.world.material import FPS
from engine.world.pictures import FRAMES, Clip, clip

MOTIONS = ("left", "zigzag", "circling", "bouncing", "growing")


@cache
def filmed(word: str, motion: str, frames: int = FRAMES) -> Clip:
    """Each individual at a place and size of its own, over a scene of its own."""
    name, seed, scene = ("dog/6", 1, "grass") if word == "dog" else ("fish/3", 2, "sea")
    return clip(individual_named(name), motion, seed, frames=frames, scene=scene)


@cache
def flow(word: str, motion: str, frames: int = FRAMES, shown: int = FRAMES) -> Flow:
    """The flow of the first `shown` frames of a rendered clip."""
    return flow_of(filmed(word, motion, frames).frames[:shown])


def score(one: Tensor, other: Tensor) -> float:
    return float(motion_fidelity_curve(one, [[other]]).mean())


@pytest.mark.parametrize("motion", ["left", "zigzag", "bouncing"])
def test_trusted_points_on_the_object_move_as_it_was_rendered(motion: str) -> None:
    measured, centres = flow("dog", motion), torch.from_numpy(filmed("dog", motion).centres).float()
    truth = centres.diff(dim=0)
    for step, moved in enumerate(truth):
        # Well inside the individual, by its place in the first frame of the two.
        arms = measured.points - centres[step]
        inside = measured.trusted[step] & (arms.abs().amax(dim=1) < 0.15)
        assert int(inside.sum()) >= 8
        assert (measured.moved[step][inside].median(dim=0).values - moved).abs().max() < 2e-3


def test_signature_of_a_sprite_that_turns_and_one_that_grows() -> None:
    turning = motion_signature(flow("dog", "spinning", frames=24))
    growing = motion_signature(flow("dog", "growing"))
    assert (turning[:, 3] > 1.5 * turning[:, :3].abs().amax(dim=1)).all()
    assert (growing[:, 2] > 2 * growing[:, [0, 1, 3]].abs().amax(dim=1)).all()


def test_the_same_motion_by_another_object_scores_higher_than_another_motion() -> None:
    dog, fish = ({m: motion_signature(flow(word, m)) for m in MOTIONS} for word in ("dog", "fish"))
    table = {m: {o: score(dog[m], fish[o]) for o in MOTIONS} for m in MOTIONS}
    for motion, scores in table.items():
        assert scores[motion] > 0.7, (motion, scores)
        assert scores[motion] > 0.3 + max(s for other, s in scores.items() if other != motion), (motion, scores)


def test_the_reverse_of_a_motion_scores_its_negative() -> None:
    there = motion_signature(flow("dog", "left"))
    assert score(motion_signature(flow("dog", "right")), there) < -0.9


def test_a_still_video_has_no_motion_and_no_likeness_to_one() -> None:
    still = flow("dog", "still")
    assert motion_amount_curve(still, FPS).max() < 0.01
    assert score(motion_signature(still), motion_signature(flow("dog", "left"))) == 0
    assert score(motion_signature(still), motion_signature(still)) == 0


def test_motion_amount_is_the_speed_of_what_moves_at_any_frame_rate() -> None:
    # Moving left crosses 0.32 of the frame in the seven steps of a clip.
    amount = motion_amount_curve(flow("dog", "left"), FPS)
    assert amount.tolist() == pytest.approx([0.32 / 7 * FPS] * 7, rel=0.2)
    slow = motion_amount_curve(flow("dog", "left", frames=15, shown=5), 2 * FPS)
    assert float(slow.mean()) == pytest.approx(float(amount.mean()), rel=0.1)


@pytest.mark.parametrize(("height", "width"), [(41, 90), (230, 151), (20, 24)])
def test_flow_of_any_size_is_in_shorter_sides(height: int, width: int) -> None:
    # Large patches with small ones on them, as pictures have.
    noise = [np.random.default_rng(n).integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (5, 14)]
    large, small = (Image.fromarray(n).resize((width, height), Image.Resampling.BICUBIC) for n in noise)
    texture = Image.blend(large, small, 0.3)
    shift = round(0.1 * min(height, width))
    moved = texture.transform(texture.size, Image.Transform.AFFINE, (1, 0, -shift, 0, 1, 0))
    measured = flow_of(np.stack([np.asarray(texture), np.asarray(moved)]))
    trusted = measured.moved[0][measured.trusted[0]]
    assert len(trusted) > 0.3 * len(measured.points)
    assert trusted.median(dim=0).values.tolist() == pytest.approx([shift / min(height, width), 0], abs=0.01)
    x, y = measured.points.T
    assert x.max() > width / min(height, width) - 0.07 and y.max() > height / min(height, width) - 0.07


def test_nothing_is_measured_where_there_is_nothing_to_see() -> None:
    blank = flow_of(np.full((3, 40, 40, 3), 128, np.uint8))
    assert not blank.trusted.any()
    assert motion_amount_curve(blank, 8.0).tolist() == [0, 0]
    assert motion_signature(blank).abs().max() == 0
    with pytest.raises(ValueError, match="at least two"):
        flow_of(np.zeros((1, 40, 40, 3), np.uint8))


def test_the_best_window_of_each_reference_counts_and_the_mean_over_references() -> None:
    right, down = torch.tensor([[1.0, 0, 0, 0]] * 3), torch.tensor([[0, 1.0, 0, 0]] * 3)
    assert motion_fidelity_curve(right, [[down, 0.5 * right]]).tolist() == pytest.approx([1, 1, 1])
    assert motion_fidelity_curve(right, [[down], [right]]).tolist() == pytest.approx([0.5] * 3)
    # A reference of fewer steps is compared with as many of the video's.
    assert motion_fidelity_curve(right, [[right[:2]]]).tolist() == pytest.approx([1, 1])
    half = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]])
    curve = motion_fidelity_curve(half, [[right]])
    assert float(curve.mean()) == pytest.approx(2**-0.5)
    assert curve[1] == 0

"""Scores of rendered clips by the embedded base's judges: which of two videos a figure prefers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.bases.location import EMBEDDED, inspect_base
from engine.errors import BaseError, InputError
from engine.evaluation import judges
from engine.evaluation.bounds import Bounds, bounds_of
from engine.evaluation.caching import FeatureCache
from engine.evaluation.expected import Expected, ReferenceClip
from engine.evaluation.judges import JudgeKind, Judges, Pictures, judges_of
from engine.evaluation.scoring import METRICS, Metric, Scorer, Scores
from engine.media.video import write_video
from engine.world.individuals import individual_named, siblings
from engine.world.material import FPS, write_clips, write_photographs
from engine.world.pictures import FRAMES, clip, photograph
from tests.rendering import rendered

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(judges_of(inspect_base(EMBEDDED)), cache=FeatureCache(tmp_path_factory.mktemp("features")))


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    folder = tmp_path_factory.mktemp("videos")

    def write(name: str, motion: str, order: list[int] | None = None, fps: float = FPS) -> Path:
        """A rendered clip as a file, its frames in another order where one is given."""
        frames = rendered(name, motion)
        path = folder / f"{name.replace('/', '-')}-{motion}-{fps:g}-{order}.mp4"
        write_video(frames if order is None else frames[order], path, fps, {})
        return path

    return write


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """A dog that zigzags, from photographs and clips over other scenes, the clips of others."""
    folder = tmp_path_factory.mktemp("wanted")
    pictures = write_photographs(individual_named("dog/1"), folder / "dog", count=3, seed=4)
    others = [individual_named(name) for name in ("bird/2", "bear/3")]
    moving = write_clips("zigzag", others, folder / "zigzag", seed=5)
    return Expected("a dog zigzagging on grass", tuple(pictures), tuple(ReferenceClip(path) for path in moving))


@pytest.fixture(scope="module")
def right(scorer: Scorer, write: Write, expected: Expected) -> Scores:
    """The video that is all that was wanted."""
    return scorer.score(write("dog/1", "zigzag"), expected)


def figure(scores: Scores, name: str) -> float:
    value = scores.values[name]
    assert value is not None
    return value


def test_every_figure_is_the_mean_of_a_curve_over_frames_or_steps(right: Scores) -> None:
    assert list(right.values) == [metric.name for metric in METRICS]
    for name, curve in right.curves.items():
        between = name in ("temporal_consistency", "motion_fidelity", "motion_amount")
        assert len(curve) == FRAMES - between
        assert right.values[name] == pytest.approx(np.mean(curve), abs=1e-6)


def test_another_subject_is_less_like_the_pictures(
    scorer: Scorer, write: Write, expected: Expected, right: Scores
) -> None:
    other = scorer.score(write("rocket/1", "zigzag"), expected)
    assert figure(other, "clip_i") < figure(right, "clip_i") - 0.05
    assert figure(other, "motion_fidelity") > 0.8


def test_over_several_subjects_the_videos_own_pictures_are_the_most_like_it(scorer: Scorer, tmp_path: Path) -> None:
    words = ("dog", "bird", "rocket", "fish", "teapot")
    pictures, videos = {}, {}
    for word in words:
        one = individual_named(f"{word}/1")
        pictures[word] = [tmp_path / f"{word}-{i}.png" for i in range(4)]
        for i, path in enumerate(pictures[word]):
            Image.fromarray(photograph(one, i, scene="night").pixels).save(path)
        videos[word] = tmp_path / f"{word}.mp4"
        write_video(rendered(f"{word}/1", "left", "night", seed=1, frames=2), videos[word], FPS, {})
    likeness = replace(scorer, metrics=[m for m in METRICS if m.name in ("clip_i", "dino_i")])
    table = {
        (word, other): likeness.score(videos[word], Expected(references=tuple(pictures[other])))
        for word in words
        for other in words
    }
    for name, margin in (("clip_i", 0.1), ("dino_i", 0.002)):
        own = np.mean([figure(s, name) for (word, other), s in table.items() if word == other])
        others = np.mean([figure(s, name) for (word, other), s in table.items() if word != other])
        assert own > others + margin, name


def test_a_still_video_cannot_win(scorer: Scorer, write: Write, expected: Expected, right: Scores) -> None:
    still = scorer.score(write("dog/1", "zigzag", order=[0] * FRAMES), expected)
    assert figure(still, "temporal_consistency") > 0.99
    assert figure(still, "motion_amount") < 0.02 * figure(right, "motion_amount")
    assert figure(still, "motion_fidelity") == 0


def test_a_shuffled_video_is_less_consistent(scorer: Scorer, tmp_path: Path) -> None:
    frames = rendered("dog/1", "growing", frames=16)
    order = np.random.default_rng(0).permutation(16)
    videos = {"in-order": frames, "shuffled": frames[order]}
    scores = {}
    for name, shown in videos.items():
        write_video(shown, tmp_path / f"{name}.mp4", FPS, {})
        scores[name] = figure(scorer.score(tmp_path / f"{name}.mp4", Expected()), "temporal_consistency")
    assert scores["shuffled"] < scores["in-order"] - 0.02


def test_another_motion_has_less_fidelity(scorer: Scorer, write: Write, expected: Expected, right: Scores) -> None:
    assert figure(right, "motion_fidelity") > 0.8
    assert figure(scorer.score(write("dog/1", "left"), expected), "motion_fidelity") < 0.3


def test_a_longer_reference_counts_by_its_best_window_at_the_videos_rate(
    scorer: Scorer, write: Write, tmp_path: Path
) -> None:
    # Twice the rate, still for a second, then the motion: neither all of it nor its beginning matches.
    moving = rendered("bird/2", "zigzag", "sea", frames=16)
    path = tmp_path / "long.mp4"
    write_video(np.concatenate([np.repeat(moving[:1], 16, axis=0), moving]), path, 2 * FPS, {})
    scores = scorer.score(write("dog/1", "zigzag"), Expected(clips=(ReferenceClip(path),)))
    assert figure(scores, "motion_fidelity") > 0.8
    early = Expected(clips=(ReferenceClip(path, end=0.9),))
    assert figure(scorer.score(write("dog/1", "zigzag"), early), "motion_fidelity") == 0


def test_what_is_not_wanted_is_not_measured_nor_its_judge_loaded(tmp_path: Path, write: Write) -> None:
    own = inspect_base(EMBEDDED).folder / "judges"
    scorer = Scorer(
        Judges({"clip": own / "clip", "dino": tmp_path / "nowhere"}), cache=FeatureCache(tmp_path / "cache")
    )
    scores = scorer.score(write("dog/1", "left"), Expected())
    absent = {name for name, value in scores.values.items() if value is None}
    assert absent == {
        "clip_t",
        "clip_i",
        "dino_i",
        "motion_fidelity",
        "top1",
        "sibling_top1",
        "rank",
        "colour_likeness",
    }
    assert not absent & set(scores.curves)


def test_a_video_of_one_frame_has_no_steps(scorer: Scorer, expected: Expected, tmp_path: Path) -> None:
    video = tmp_path / "one"
    video.mkdir()
    Image.fromarray(np.full((50, 71, 3), 90, np.uint8)).save(video / "1.png")
    scores = scorer.score(video, expected)
    steps = ("temporal_consistency", "motion_fidelity", "motion_amount")
    assert [scores.values[name] for name in steps] == [None] * 3
    assert len(scores.curves["clip_i"]) == 1


def test_a_reference_clip_of_one_frame_is_refused(scorer: Scorer, write: Write, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match="single frame"):
        scorer.score(write("dog/1", "left"), Expected(clips=(ReferenceClip(tmp_path),)))


def test_a_new_metric_is_a_function_and_a_row(write: Write) -> None:
    brightness = Metric(
        "brightness", "Brightness", lambda seen: torch.from_numpy(seen.frames).float().mean(dim=(1, 2, 3)) / 255
    )
    scores = Scorer(Judges({}), metrics=(brightness,)).score(write("dog/1", "left"), Expected())
    assert 0.2 < figure(scores, "brightness") < 0.9
    assert len(scores.curves["brightness"]) == FRAMES


class Average:
    """A judge whose feature is a picture's mean colour."""

    def __init__(self, model: str | Path, *, device: str = "cpu") -> None:
        self.identity = f"average/{model}"

    def images(self, pictures: Pictures) -> torch.Tensor:
        return torch.stack([torch.from_numpy(picture).float().mean(dim=(0, 1)) for picture in pictures])


def test_a_third_judge_is_a_class_and_a_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Write, expected: Expected
) -> None:
    monkeypatch.setattr(judges, "JUDGES", (*judges.JUDGES, JudgeKind("average", "Average colour", "any", Average)))
    colour = Metric("colour", "Colour", lambda seen: seen.frames_by("average").mean(dim=1) / 255, ("average",))
    near = Metric("near", "Near", lambda seen: seen.references_by("average"), ("average",))
    scorer = Scorer(Judges({"average": "here"}), metrics=(colour, near), cache=FeatureCache(tmp_path))
    scores = scorer.score(write("dog/1", "left"), expected)
    assert 0.2 < figure(scores, "colour") < 0.9 and len(scores.curves["near"]) == len(expected.references)
    with pytest.raises(ValueError, match="average reads no text"):
        scorer.judges.texts("average", ["a fox"])
    with pytest.raises(BaseError, match="no judge dino here: there are average"):
        scorer.judges["dino"]


def test_where_it_is_known_who_should_be_shown_it_is_measured_whether_that_is_so(tmp_path: Path) -> None:
    scorer = Scorer(Judges({}), metrics=[metric for metric in METRICS if metric.of_truth])
    one = individual_named("rabbit/4/settings")
    wanted = Expected(individual="rabbit/4/settings")
    scores = {}
    for name, who in (("right", one), ("wrong", siblings(one)[20])):
        write_video(clip(who, "circling", 3).frames, tmp_path / f"{name}.mp4", FPS, {})
        scores[name] = scorer.score(tmp_path / f"{name}.mp4", wanted)
    assert [figure(scores["right"], name) for name in ("top1", "sibling_top1", "rank")] == [1, 1, 1]
    assert figure(scores["wrong"], "top1") == 0 and figure(scores["wrong"], "rank") > 1
    assert figure(scores["wrong"], "colour_likeness") < figure(scores["right"], "colour_likeness")
    assert len(scores["right"].curves["top1"]) == FRAMES


def test_bounds_of_scores_are_those_of_real_renderings(tmp_path: Path) -> None:
    names = ("motion_fidelity", "top1", "sibling_top1", "rank")
    scorer = Scorer(Judges({}), metrics=[metric for metric in METRICS if metric.name in names])
    motion = write_clips("weaving", [individual_named("dog/3")], tmp_path / "weaving")
    expected = Expected(clips=tuple(ReferenceClip(path) for path in motion), individual="boat/2/settings")
    found = bounds_of(expected, "weaving", scorer, tmp_path, seeds=(0, 1))
    assert set(found) == set(names)
    assert found["top1"] == found["sibling_top1"] == Bounds(ceiling=1, floor=0)
    assert found["rank"].ceiling == 1 < found["rank"].floor
    assert found["motion_fidelity"].ceiling > found["motion_fidelity"].floor + 0.3
    with pytest.raises(InputError, match="`individual` must name one"):
        bounds_of(Expected(), "weaving", scorer, tmp_path)


def test_the_page_on_figures_has_a_row_for_each() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert [metric.title for metric in METRICS if f"\n| {metric.title} |" not in page] == []

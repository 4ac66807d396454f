"""What a run notes while it learns: kept steps, held-out losses, previews, what the adapter does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.curves import Curves
from engine.errors import InputError
from engine.learning import Learned, learn_motion, learn_planned
from engine.learning_folder import last_losses, previews_in, read_curves
from engine.media.metadata import read_metadata
from engine.training import Progress
from tests.engine.learning_samples import LoadBase, both, files, motion_plan, pixels, subject_plan

EVERY = {"keep_every": 1, "held_out_every": 1, "snapshot_every": 1}


@pytest.fixture
def learn(load: LoadBase, photographs: Path, clips: Path, tmp_path: Path) -> Callable[..., Learned]:
    """Learn a subject or a motion into a folder."""

    def learn(kind: str, folder: str, **options: Any) -> Learned:
        run, on_progress = options.pop("run", None), options.pop("on_progress", None)
        base = load()
        plan: Any = (
            subject_plan(base, photographs, **options)
            if kind == "subject"
            else motion_plan(base, both(clips), **options)
        )
        return learn_planned(plan, base, tmp_path / folder, run=run, on_progress=on_progress)

    return learn


@pytest.mark.parametrize("kind", ["subject", "motion"])
def test_a_kept_step_is_what_a_run_of_so_many_steps_learns(
    learn: Callable[..., Learned], tmp_path: Path, kind: str
) -> None:
    name = "steps" if kind == "motion" else "adapter_steps"
    learn(kind, "whole", **{name: 3}, **EVERY)
    learn(kind, "short", **{name: 2})
    steps = tmp_path / "whole" / "learning" / "steps"
    assert sorted(path.name for path in steps.iterdir()) == ["1", "2"]
    assert files(steps / "2") == files(tmp_path / "short")
    assert files(steps / "1") != files(steps / "2") != files(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["subject", "motion"])
def test_what_is_noted_changes_nothing_of_what_is_learnt(
    learn: Callable[..., Learned], tmp_path: Path, kind: str
) -> None:
    learn(kind, "unnoted", dropout=0.5)
    learn(kind, "noted", dropout=0.5, preview_every=2, preview_prompt="a * runs" if kind == "subject" else "", **EVERY)
    assert files(tmp_path / "noted") == files(tmp_path / "unnoted")
    (video, *_) = previews_in(tmp_path / "noted")
    assert video.stem == "2" and video.with_suffix(".png").is_file()
    record = read_metadata(video)
    assert record["prompt"] == ("a * runs" if kind == "subject" else "a dog spins")
    assert [each["role"] for each in record["adapters"]] == [kind]


def test_a_run_that_goes_on_has_noted_all_steps(learn: Callable[..., Learned], tmp_path: Path) -> None:
    def stop(_part: str, progress: Progress) -> None:
        if progress.step == 2:
            raise SystemExit

    learn("motion", "whole", run=tmp_path / "other", **EVERY)
    with pytest.raises(SystemExit):
        learn("motion", "out", run=tmp_path / "run", on_progress=stop, **EVERY)
    learn("motion", "out", run=tmp_path / "run", **EVERY)
    names = ("curve.json", "curve.png", "steps/1/adapter.safetensors", "steps/3/adapter.safetensors")
    for name in names:
        assert (tmp_path / "out/learning" / name).read_bytes() == (tmp_path / "whole/learning" / name).read_bytes()
    curve = read_curves(tmp_path / "out")["motion"]
    assert [step for step, _ in curve["loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in curve["held_out_loss"]] == [0, 1, 2, 3, 4]
    losses, held_out = last_losses(read_curves(tmp_path / "out"))
    assert (losses[3], held_out[3]) == (curve["loss"][2][1], curve["held_out_loss"][3][1])


def test_what_an_adapter_does_is_measured_against_the_bare_base(learn: Callable[..., Learned], tmp_path: Path) -> None:
    nothing = learn("motion", "nothing", held_out_every=100, learning_rate=0.0).effect
    assert nothing is not None and nothing.is_nothing
    assert nothing.prediction_change == 0 and nothing.loss == nothing.loss_without
    something = learn("motion", "something", held_out_every=100, learning_rate=0.05).effect
    assert something is not None and not something.is_nothing
    assert something.loss_without == pytest.approx(nothing.loss) != something.loss
    assert read_curves(tmp_path / "something")["motion"]["held_out_loss"][0][1] == pytest.approx(nothing.loss, rel=1e-5)


def test_what_a_token_does_is_measured_against_the_word_that_it_starts_as(
    learn: Callable[..., Learned], tmp_path: Path
) -> None:
    learn("subject", "out", held_out_every=100)
    effect = read_curves(tmp_path / "out")["token"]["effect"]
    assert effect["prediction_change"] > 0
    # The second part starts where the first one ended.
    identity = read_curves(tmp_path / "out")["identity"]["effect"]
    assert identity["loss_without"] == pytest.approx(effect["loss"])


def test_nothing_is_learnt_from_what_is_held_out(
    learn: Callable[..., Learned], photographs: Path, tmp_path: Path
) -> None:
    measured = {"held_out_every": 100, "hold_out": 1}
    learn("subject", "first", **measured)
    Image.fromarray(pixels(77, 20, 24)).save(photographs / "2.png")
    learn("subject", "second", **measured)
    learn("subject", "all", held_out_every=100)
    assert files(tmp_path / "first") == files(tmp_path / "second") != files(tmp_path / "all")
    first, second = (read_curves(tmp_path / name)["identity"]["held_out_loss"] for name in ("first", "second"))
    assert first != second


def test_something_must_be_left_to_learn_from(load: LoadBase, photographs: Path) -> None:
    plan = subject_plan(load(), photographs, hold_out=2)
    assert [source.used for source in plan.sources][1:] == ["measured, not learnt from"] * 2
    with pytest.raises(InputError, match="`hold_out` is 3, and there are 3 images"):
        subject_plan(load(), photographs, hold_out=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preview_prompt": "a *"}, "`preview_prompt` is read with `preview_every` only"),
        ({"preview_every": 1, "preview_prompt": "a cat"}, r"has no place for the subject: write \* where it goes"),
    ],
)
def test_a_preview_that_can_not_be_is_refused_when_planned(
    load: LoadBase, photographs: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        subject_plan(load(), photographs, **options)


def test_a_line_torn_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    curves = Curves(tmp_path / "curve.jsonl")
    curves.add("motion", 1, 0.5, None)
    curves.add("motion", 2, 0.4, 0.45)
    curves.flush()
    with (tmp_path / "curve.jsonl").open("a") as opened:
        opened.write('["motion", 3, 0.')
    again = Curves(tmp_path / "curve.jsonl").document()
    assert again["parts"]["motion"]["loss"] == [[1, 0.5], [2, 0.4]]
    assert again["parts"]["motion"]["held_out_loss"] == [[2, 0.45]]
    assert json.loads(json.dumps(again)) == again


def test_an_adapter_without_curves_has_none(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {} and previews_in(tmp_path) == []


def test_held_out_batches_are_the_same_at_every_step(load: LoadBase, clips: Path, tmp_path: Path) -> None:
    base = load()
    learn_motion(motion_plan(base, both(clips), learning_rate=0.0, **EVERY), base, tmp_path / "out")
    losses = {loss for _, loss in read_curves(tmp_path / "out")["motion"]["held_out_loss"]}
    assert len(losses) == 1

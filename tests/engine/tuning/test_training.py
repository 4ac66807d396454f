"""Tuning a base: the same bytes whichever way they are come by, and reading that keeps to its limit."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.errors import InputError, ResumeError
from engine.media.video import write_video
from engine.training import Progress
from engine.tuning.planning import plan_tuning
from engine.tuning.training import load_for_tuning, tune

MakeBase = Callable[..., Path]
Tune = Callable[..., Path]
_WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four clips of 6 frames and one of 4."""
    draw = np.random.default_rng(3)
    for number, count in enumerate([6, 6, 4, 6, 6]):
        clip = tmp_path / "data" / f"{number}.mp4"
        clip.parent.mkdir(exist_ok=True)
        write_video(draw.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8), clip, 8.0, {})
        clip.with_suffix(".txt").write_text(f"clip {number}")
    return tmp_path / "data"


@pytest.fixture
def info(make_base: MakeBase) -> BaseInfo:
    return inspect_base(BaseLocation("tiny", str(make_base())))


@pytest.fixture
def tuned(info: BaseInfo, data: Path, tmp_path: Path) -> Tune:
    """Tune by some options in a run's folder, perhaps until it is stopped; give the weights' file."""

    def run(name: str, *, stop: int | None = None, **options: object) -> Path:
        small = {"size": (16, 16), "frames": 5, "batch_size": 2, "steps": 4, "learning_rate": 1e-3}
        plan = plan_tuning(data, info=info, options={**small, **options})

        def progress(progress: Progress) -> None:
            if progress.step == stop:
                raise KeyboardInterrupt

        base = load_for_tuning(info.location, device="cpu", dtype="fp32")
        tune(plan, base, tmp_path / f"{name}-made", run=tmp_path / name, on_progress=progress)
        return tmp_path / f"{name}-made" / _WEIGHTS

    return run


def test_a_run_that_was_stopped_ends_in_the_same_bytes(tuned: Tune, tmp_path: Path) -> None:
    whole = tuned("whole").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        tuned("stopped", stop=2)
    assert not (tmp_path / "stopped-made").exists()
    assert tuned("stopped").read_bytes() == whole
    assert tuned("uncached", clip_cache=0.0).read_bytes() == whole
    assert not (tmp_path / "uncached" / "latents").exists()
    with pytest.raises(ResumeError):
        tuned("stopped", seed=1)


def test_encoded_clips_take_no_more_than_they_may(tuned: Tune, info: BaseInfo, tmp_path: Path) -> None:
    one = 2 * 4 * prod(info.layout.shape(5, (16, 16)))  # mean and deviation in float32
    tuned("bounded", clip_cache=2.5 * one / 2**30, steps=8)
    files = list((tmp_path / "bounded" / "latents").iterdir())
    assert 1 <= len(files) <= 3
    assert sum(sum(tensor.nbytes for tensor in load_file(file).values()) for file in files) <= 2.5 * one


def test_what_is_kept_is_the_average(tuned: Tune) -> None:
    weights, average = (load_file(tuned(f"decay{decay}", ema_decay=decay)) for decay in (0.0, 0.9))
    assert weights.keys() == average.keys()
    assert any((weights[name] != average[name]).any() for name in weights)


def test_an_unreadable_clip_and_one_without_motion_are_named(info: BaseInfo, data: Path) -> None:
    (data / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"broken")
    (data / "broken.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"1 of 6 clips can't be used.*\n.*broken\.mp4 is not a video"):
        plan_tuning(data, info=info, options={"size": (16, 16)})
    (data / "broken.mp4").unlink()
    write_video(np.zeros((1, 16, 16, 3), np.uint8), data / "broken.mp4", 8.0, {})
    with pytest.raises(InputError, match=r"1 of 6 clips have one frame only .*broken\.mp4"):
        plan_tuning(data, info=info, options={"size": (16, 16)})


def test_a_size_that_does_not_fit_is_refused_before_a_clip_is_opened(info: BaseInfo, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`size` 18x16 does not fit"):
        plan_tuning(tmp_path / "nowhere", info=info, options={"size": (18, 16)})

"""What a plan foretells of time and memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.bases.location import EMBEDDED, inspect_base
from engine.estimating import Estimate, composing_seconds, estimate
from engine.media import ffmpeg
from engine.methods.dreamvideo import ComposeConfig
from engine.planning import MotionPlan, plan_motion


def planned(clip: Path, end: float | None = None) -> tuple[MotionPlan, Estimate]:
    plan = plan_motion([clip], "a dog runs", info=inspect_base(EMBEDDED), options={"steps": 1}, end=end)
    return plan, estimate(plan, EMBEDDED, device="cpu", dtype="fp32")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 1,200 frames, 20 seconds."""
    path = tmp_path / "long.mp4"
    ffmpeg.run(["-f", "lavfi", "-i", "color=red:s=64x64:r=60:d=20", "-preset", "ultrafast", str(path)])
    return path


def test_encoding_a_long_clip_is_in_the_estimate(clip: Path) -> None:
    whole, part = planned(clip)[1], planned(clip, end=2.0)[1]
    assert whole.encoding_seconds == pytest.approx(10 * part.encoding_seconds, rel=0.1)
    assert whole.seconds > whole.encoding_seconds > 0.5 * whole.seconds
    assert whole.peak_bytes - part.peak_bytes > 1080 * 2 * 4 * 64


def test_a_part_is_suggested_for_a_long_clip(clip: Path) -> None:
    assert any("1,200 frames (20 s)" in note and "`start` and `end`" in note for note in planned(clip)[0].notes)
    assert planned(clip, end=2.0)[0].notes == ()


def test_a_step_without_guidance_takes_half() -> None:
    def seconds(**change: Any) -> float:
        config = replace(ComposeConfig(steps=8, frames=2, size=(64, 64)), **change)
        return composing_seconds(config, EMBEDDED, device="cpu", dtype="fp32")

    assert seconds(guidance_from=0.25, guidance_until=0.75) == pytest.approx(0.75 * seconds())
    assert seconds(guidance_scale=1.0) == pytest.approx(0.5 * seconds())


def test_a_video_that_starts_from_a_clip_takes_its_inversion_too() -> None:
    config = ComposeConfig(steps=8, frames=2, size=(64, 64))
    fresh, inverting = (
        composing_seconds(config, EMBEDDED, device="cpu", dtype="fp32", inverts=inverts) for inverts in (False, True)
    )
    assert inverting == pytest.approx(3 * fresh)  # four predictions a step beside two

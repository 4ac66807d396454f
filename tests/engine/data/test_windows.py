"""Drawing windows of frames from clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.clips import ClipInfo
from engine.data.windows import FrameSampling


@given(
    frames=st.integers(1, 40),
    fps=st.floats(1, 30),
    source_fps=st.floats(1, 120),
    available=st.integers(1, 400),
    data=st.data(),
)
def test_windows_are_evenly_spaced_inside_the_clip(
    frames: int, fps: float, source_fps: float, available: int, data: st.DataObject
) -> None:
    sampling = FrameSampling(frames, fps)
    windows, stride = sampling.windows(available, source_fps), sampling.stride(source_fps, available)
    start = data.draw(st.integers(0, windows - 1))
    indices = sampling.indices(start, available, source_fps)
    assert 1 <= len(indices) == sampling.length(available, source_fps) <= min(frames, available)
    if available >= 1 + (frames - 1) * stride:
        assert len(indices) == frames
    assert indices[0] == start
    assert set(np.diff(indices)) <= {stride}
    assert sampling.indices(windows - 1, available, source_fps)[-1] == available - 1
    with pytest.raises(ValueError, match="outside"):
        sampling.indices(windows, available, source_fps)


@pytest.mark.parametrize(
    ("source_fps", "available", "stride", "windows"),
    [
        (25, 250, 3, 157),  # round(25 / 8)
        (24, 94, 3, 1),  # exactly fits
        (24, 93, 3, 3),  # one short: 31 frames at the clip's speed
        (25, 33, 3, 3),
        (25, 32, 1, 1),  # no more than 32 frames: stride 1
        (25, 9, 1, 1),
        (4, 250, 1, 219),  # slower than asked for
    ],
)
def test_strides_of_the_paper(source_fps: float, available: int, stride: int, windows: int) -> None:
    sampling = FrameSampling(32, 8)
    assert sampling.stride(source_fps, available) == stride
    assert sampling.windows(available, source_fps) == windows


def described(frames: int, fps: float, in_file: int, end: float | None = None) -> tuple[str, str]:
    info = ClipInfo(Path("a.mp4"), 64, 64, frames, fps, frames / fps, 1, "", in_file, 0.0, end)
    return FrameSampling(16, 8).describe(info)


def test_plan_says_what_is_used_and_dropped() -> None:
    assert described(250, 25, 250) == ("16 frames at 8.33 fps, 205 starts", "2 of 3 frames, down from 25 fps")
    assert described(16, 8, 16) == ("16 frames at 8 fps, 1 start", "nothing")
    assert described(9, 8, 9) == ("all 9 frames (16 asked for)", "nothing")
    assert described(9, 25, 50, 0.36) == (
        "all 9 frames (16 asked for); too short for 8 fps",
        "41 frames outside 0-0.36 s",
    )
    assert described(40, 25, 40) == (
        "14 frames at 8.33 fps, 1 start (16 asked for)",
        "2 of 3 frames, down from 25 fps",
    )


def test_a_clip_too_short_for_its_stride_keeps_its_speed() -> None:
    indices = FrameSampling(32, 8).indices(0, 40, 25)
    assert indices.tolist() == list(range(0, 40, 3))

"""Which frames of a clip a training step sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.data.clips import ClipInfo

WINDOWS_AHEAD = 16
Control = Literal["none", "shuffled", "still"]
"""What half of the windows hold, as a control of what a method learns of the order of frames."""


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a clip a training step sees: `frames` of them at about `fps`, from a drawn start.

    The paper's are 32 frames at 8 fps (section 4.1). As the authors do, a clip with no more frames than are asked
    for is taken at stride 1. A longer one keeps its speed: where it is too short for all frames at `fps`, a window
    has fewer. A window holds `frame_step` * k + 1 frames, as the base asks for: at 1 any number. With a `control` half
    of the windows hold their frames in random order, or one of them again and again.
    """

    frames: int
    fps: float
    frame_step: int = 1
    control: Control = "none"

    def stride(self, source_fps: float, available: int) -> int:
        """Every how many frames of the clip one is taken."""
        return 1 if available <= self.frames else self._wanted_stride(source_fps)

    def length(self, available: int, source_fps: float) -> int:
        """How many frames a window has, at most `frames`."""
        most = min(self.frames, (available - 1) // self.stride(source_fps, available) + 1)
        return most - (most - 1) % self.frame_step

    def windows(self, available: int, source_fps: float) -> int:
        """How many starts a window can have."""
        return available - (self.length(available, source_fps) - 1) * self.stride(source_fps, available)

    def indices(self, start: int, available: int, source_fps: float) -> npt.NDArray[np.int64]:
        """The frames of the window that begins at frame `start`, (length,)."""
        windows = self.windows(available, source_fps)
        if not 0 <= start < windows:
            raise ValueError(f"start {start} is outside the {windows} windows")
        steps = np.arange(self.length(available, source_fps), dtype=np.int64)
        return start + self.stride(source_fps, available) * steps

    def starts_ahead(self, available: int, source_fps: float) -> list[int]:
        """Starts of the windows that are encoded before the first step where latents can't be cut at will: up to
        `WINDOWS_AHEAD`, spread evenly over the clip."""
        windows = self.windows(available, source_fps)
        return [round(start) for start in np.linspace(0, windows - 1, min(WINDOWS_AHEAD, windows))]

    def windows_ahead(self, available: int, source_fps: float) -> list[npt.NDArray[np.int64]]:
        """The frames of the windows that are encoded ahead; with a control, each is followed by its own."""
        windows = []
        for start in self.starts_ahead(available, source_fps):
            frames = self.indices(start, available, source_fps)
            windows += [frames] if self.control == "none" else [frames, frames[self.disturbed(len(frames), start)]]
        return windows

    def disturbed(self, length: int, seed: int) -> npt.NDArray[np.int64]:
        """The places of a window's frames in its control."""
        draw = np.random.default_rng(seed)
        return draw.permutation(length) if self.control == "shuffled" else np.full(length, draw.integers(length))

    def describe(self, info: ClipInfo) -> tuple[str, str]:
        """What is used of a clip, and what is dropped and why, in a few words each."""
        stride, length = self.stride(info.fps, info.frames), self.length(info.frames, info.fps)
        windows = self.windows(info.frames, info.fps)
        if info.frames < self.frames:
            taken = f"all {_count(length, 'frame')}" if length == info.frames else f"{length} of {info.frames} frames"
            used = f"{taken} ({self.frames} asked for)"
        else:
            used = f"{_count(length, 'frame')} at {info.fps / stride:.3g} fps, {_count(windows, 'start')}"
            used += f" ({self.frames} asked for)" if length < self.frames else ""
        if stride < self._wanted_stride(info.fps):
            used += f"; too short for {self.fps:g} fps"
        if self.frame_step > 1:
            used += f"; {_count(len(self.windows_ahead(info.frames, info.fps)), 'window')} encoded ahead"
        dropped = []
        outside = info.frames_in_file - info.frames
        if outside:
            until = "" if info.end is None else f"{info.end:g}"
            dropped.append(f"{_count(outside, 'frame')} outside {info.start:g}-{until} s")
        if stride > 1:
            dropped.append(f"{stride - 1} of {stride} frames, down from {info.fps:.3g} fps")
        return used, "; ".join(dropped) or "nothing"

    def _wanted_stride(self, source_fps: float) -> int:
        return max(1, round(source_fps / self.fps))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

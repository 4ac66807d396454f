"""Probing and reading clips: videos that ffmpeg decodes, and folders of numbered frames."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.data.files import pictures_in, sha256_of
from engine.data.images import Pixels, fit, probe_image, read_image
from engine.errors import InputError
from engine.media import decoding
from engine.media.ffmpeg import FfmpegError
from engine.media.pictures import PICTURE_KINDS

DEFAULT_SOURCE_FPS = 8.0  # The rate the paper trains at (section 4.1), so that every frame is used.
_MOST_FPS = 60.0  # Clips of a variable rate are read at no higher one.
_FASTEST = 0.05  # Share of a variable clip's intervals that its highest rate must last for.
_EVEN = 0.25  # Of a frame's time: as far as a frame of a constant rate may be from its moment.
_SHOWN_GAPS = 3


@dataclass(frozen=True)
class ClipInfo:
    """A clip as it will be read: upright, with square pixels, from `start` to `end` (seconds; None: its end).

    `frames` and `duration` (seconds) are what lies between start and end, at the constant rate `fps`;
    `frames_in_file` is all there is at that rate. `order` is which of the file's frames each of `frames` is: where
    the file's own rate varies, some are taken more than once and some not at all. `bytes` and `sha256` are of
    the whole file or folder. `note` says what a person should know, else "".
    """

    path: Path
    width: int
    height: int
    frames: int
    fps: float
    duration: float
    bytes: int
    sha256: str
    frames_in_file: int
    start: float = 0.0
    end: float | None = None
    note: str = ""
    order: tuple[int, ...] = field(default=(), repr=False)

    @property
    def distinct_frames(self) -> int:
        """How many of the file's frames are read, each counted once."""
        return len(set(self.order))


def holds_video(path: Path) -> bool:
    """Whether there is a video in a file that ffmpeg opens. Raises InputError for what it can't decode."""
    try:
        decoding.inspect(path)
    except decoding.NoVideoError:
        return False
    except FfmpegError as error:
        raise _undecodable(path, error) from error
    return True


def _undecodable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a video that ffmpeg can decode: {str(error).rstrip('.')}.")


def probe_clip(
    path: Path, *, source_fps: float | None = None, start: float = 0.0, end: float | None = None
) -> ClipInfo:
    """What a plan says of a clip; it is decoded once in full, so that the frames are counted truly.

    A video's rate is the mean one between its first and last frame. Where it varies, the clip is taken at its
    highest lasting rate, the frames by their times, with a note. A folder of frames has no rate: it takes
    `source_fps`, else 8, with a note. A video does not take `source_fps`. Raises InputError for what can't
    be decoded, frames of different sizes, and a `start` and `end` with no frame between them.
    """
    _check_range(start, end)
    if path.is_dir():
        frames = _frame_files(path)
        width, height = _common_size(frames)
        fps, notes = _folder_rate(source_fps), _missing(frames)
        if source_fps is None:
            notes.insert(0, f"frame rate not given, taken as {fps:g} fps")
        shown = list(range(len(frames)))
        size = sum(frame.stat().st_size for frame in frames)
    else:
        video, times = _decoded(path)
        width, height = times.width, times.height
        fps, shown, notes = _constant_rate(times)
        notes += video.changes()
        if times.complaint:
            notes.append(f"decoded with errors: {times.complaint}")
        size = path.stat().st_size
    order = tuple(frame for at, frame in enumerate(shown) if _within(at / fps, start, end))
    if not order:
        raise _nothing_between(path, start, end)
    return ClipInfo(
        path=path,
        width=width,
        height=height,
        frames=len(order),
        fps=fps,
        duration=len(order) / fps,
        bytes=size,
        sha256=sha256_of(path),
        frames_in_file=len(shown),
        start=start,
        end=end,
        note="; ".join(notes),
        order=order,
    )


def _decoded(path: Path) -> tuple[decoding.VideoFile, decoding.Timing]:
    try:
        video = decoding.inspect(path)
        return video, decoding.timing(video)
    except FfmpegError as error:
        raise _undecodable(path, error) from error


def _folder_rate(source_fps: float | None) -> float:
    if source_fps is None:
        return DEFAULT_SOURCE_FPS
    if not (math.isfinite(source_fps) and source_fps > 0):
        raise InputError(f"Frames can't have a rate of {source_fps:g} a second. Give a number above 0.")
    return source_fps


def _check_range(start: float, end: float | None) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise InputError(f"A clip can't start at {start:g} s. Give 0 or more.")
    if end is not None and not end > start:
        raise InputError(f"A clip can't end at {end:g} s when it starts at {start:g} s.")


def _within(time: float, start: float, end: float | None) -> bool:
    return time >= start and (end is None or time < end)


def _nothing_between(path: Path, start: float, end: float | None) -> InputError:
    until = "its end" if end is None else f"{end:g} s"
    return InputError(f"{path} has no frame between {start:g} s and {until}. Choose another part of it.")


def _frame_files(folder: Path) -> list[Path]:
    frames = pictures_in(folder)
    if not frames:
        raise InputError(f"The folder {folder} holds no {PICTURE_KINDS} frames.")
    return frames


def _common_size(frames: Sequence[Path]) -> tuple[int, int]:
    first, *others = (probe_image(frame) for frame in frames)
    for other in others:
        if (other.width, other.height) != (first.width, first.height):
            raise InputError(
                f"{other.path} is {other.width} x {other.height}, but {first.path.name} beside it "
                f"{first.width} x {first.height}. The frames of a clip have one size."
            )
    return first.width, first.height


def _missing(frames: Sequence[Path]) -> list[str]:
    """A note on numbers that the names of frames leave out; a folder of every fifth frame leaves out none."""
    found = [re.fullmatch(r"(.*?)(\d+)(\D*)", frame.stem) for frame in frames]
    numbers = sorted(int(match[2]) for match in found if match is not None)
    names = {(match[1], match[3]) for match in found if match is not None}
    if len(numbers) < max(3, len(frames)) or len(names) != 1:
        return []
    usual = max(1, int(np.median(np.diff(numbers))))
    gaps = [(low + usual, high - usual) for low, high in pairwise(numbers) if high - low > usual]
    if not gaps:
        return []
    named = ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in gaps[:_SHOWN_GAPS])
    more = f" and {len(gaps) - _SHOWN_GAPS} more gaps" if len(gaps) > _SHOWN_GAPS else ""
    return [f"no frame is numbered {named}{more}: those around it are taken as neighbours"]


def _constant_rate(timing: decoding.Timing) -> tuple[float, list[int], list[str]]:
    """A video at a constant rate: the rate, which of its frames is shown at each moment, and notes."""
    times = np.array(timing.times)
    span = float(times[-1] - times[0])
    if span <= 0:
        note = f"frame rate unknown, taken as {DEFAULT_SOURCE_FPS:g} fps"
        return DEFAULT_SOURCE_FPS, list(range(len(times))), [note]
    mean = (len(times) - 1) / span
    intervals = np.diff(times)
    even = np.abs(times - times[0] - np.arange(len(times)) / mean).max() * mean <= _EVEN
    if even or intervals.min() < 0:
        return round(mean, 3), list(range(len(times))), []
    shortest = float(np.quantile(intervals, _FASTEST))
    typical = intervals[(intervals >= 0.5 * shortest) & (intervals <= 1.5 * shortest)]
    fps = min(_MOST_FPS, round(1 / max(float(typical.mean()), 1 / _MOST_FPS), 3))
    moments = np.arange(max(1, round((span + (timing.last or 1 / fps)) * fps))) / fps
    # The frame whose time is nearest to a moment or before it: times that jitter give no frame twice.
    shown = np.searchsorted(times - times[0], moments + 0.5 / fps, side="right") - 1
    if shown.tolist() == list(range(len(times))):
        return round(mean, 3), list(range(len(times))), []
    rates = f"{1 / intervals.max():.3g} to {1 / max(intervals.min(), 1e-3):.3g} fps"
    note = f"its frame rate varies ({rates}, {len(times)} frames): sampled by time at {fps:g} fps"
    return fps, shown.tolist(), [note]


def stream_clip(clip: ClipInfo, size: tuple[int, int] | None = None) -> Iterator[Pixels]:
    """The frames (H, W, 3) uint8 of a clip, one by one, upright.

    With `size` (width, height) each goes through `images.fit`. Raises InputError for what can't be decoded, and,
    without `size`, for frames that differ in size.
    """
    frames = _folder_frames(clip) if clip.path.is_dir() else _video_frames(clip)
    shape = None
    for frame in frames:
        pixels = frame if size is None else fit(frame, size)
        if shape not in (None, pixels.shape):
            raise InputError(f"The frames of {clip.path} differ in size. The frames of a clip have one size.")
        shape = pixels.shape
        yield pixels


def _folder_frames(clip: ClipInfo) -> Iterator[Pixels]:
    files = _frame_files(clip.path)
    for frame in clip.order:
        yield read_image(files[frame])


def _video_frames(clip: ClipInfo) -> Iterator[Pixels]:
    order = iter(clip.order)
    wanted = next(order)
    try:
        decoded = decoding.frames_between(decoding.inspect(clip.path), clip.order[0], clip.order[-1])
        for number, pixels in enumerate(decoded, clip.order[0]):
            while number == wanted:
                yield pixels
                wanted = next(order, -1)
    except FfmpegError as error:
        raise _undecodable(clip.path, error) from error
    if wanted >= 0:
        raise InputError(f"{clip.path} has changed since it was read first. Start again.")


def read_clip(clip: ClipInfo, size: tuple[int, int] | None = None) -> Pixels:
    """All frames of a clip, (N, H, W, 3) uint8; see `stream_clip`."""
    return np.stack(list(stream_clip(clip, size)))

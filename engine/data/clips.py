"""Finding, probing and reading clips: videos that ffmpeg decodes, and folders of numbered frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.data.images import (
    IMAGE_KINDS,
    IMAGE_SUFFIXES,
    Pixels,
    caption_path,
    files_in,
    fit,
    probe_image,
    read_image,
    sha256_of,
)
from engine.errors import InputError
from engine.media import ffmpeg

# Only what a folder is searched for; a file that is named itself may have any suffix.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".gif"),
)
WINDOWS_AHEAD = 16
DEFAULT_SOURCE_FPS = 8.0  # The rate the paper trains at (section 4.1), so that every frame is used.


@dataclass(frozen=True)
class ClipInfo:
    """A clip as it will be read: upright, with square pixels, from `start` to `end` (seconds; None: its end).

    `frames` and `duration` (seconds) are what lies between start and end, `frames_in_file` is all there is;
    `bytes` and `sha256` are of the whole file or folder. `note` says what a person should know, else "".
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


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """The clips that files and folders stand for.

    A folder is either one clip (the images in it are its frames) or holds video files. A clip that is
    named twice counts once. Raises InputError when nothing is there, when a folder holds both images and
    videos, and when ffmpeg can't decode a file.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for clip in _clips_at(path):
            found.setdefault(clip.resolve(), clip)
    if not found:
        raise InputError("No clips were given. Name video files, or folders of numbered frames.")
    for clip in found.values():
        if clip.is_file():
            _stream(clip, frames=1)
    return list(found.values())


def _clips_at(path: Path) -> list[Path]:
    if path.is_dir():
        images, videos = files_in(path, IMAGE_SUFFIXES), files_in(path, VIDEO_SUFFIXES)
        if images and videos:
            raise InputError(
                f"The folder {path} holds images and videos, so it could be a clip or a set of clips. "
                "Name the videos, or move the images away."
            )
        if not images and not videos:
            raise InputError(f"The folder {path} holds neither videos nor {IMAGE_KINDS} frames.")
        return [path] if images else videos
    if not path.exists():
        raise InputError(f"There is no file or folder {path}. Check the name.")
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        raise InputError(f"{path} is a single image. A clip is a video, or a folder of numbered frames.")
    return [path]


def _stream(path: Path, frames: int | None = None) -> ffmpeg.Stream:
    try:
        return ffmpeg.probe(path, frames)
    except ffmpeg.FfmpegError as error:
        raise _undecodable(path, error) from error


def _undecodable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a video that ffmpeg can decode: {error}")


def probe_clip(
    path: Path, *, source_fps: float | None = None, start: float = 0.0, end: float | None = None
) -> ClipInfo:
    """What a plan says of a clip; it is decoded once in full, so that the frames are counted truly.

    A video's rate is the mean one between its first and last frame. A folder of frames has none: it takes
    `source_fps`, else 8, with a note. A video does not take `source_fps`. Raises InputError for what can't
    be decoded, frames of different sizes, and a `start` and `end` with no frame between them.
    """
    _check_range(start, end)
    if path.is_dir():
        frames = _frame_files(path)
        width, height = _common_size(frames)
        fps = _folder_rate(source_fps)
        note = "" if source_fps is not None else f"frame rate not given, taken as {fps:g} fps"
        times: Sequence[float] = [index / fps for index in range(len(frames))]
        size = sum(frame.stat().st_size for frame in frames)
    else:
        stream = _stream(path)
        width, height, times = stream.width, stream.height, stream.times
        fps, note = _mean_rate(times)
        if stream.complaint:
            note = f"decoded with errors: {stream.complaint}"
        size = path.stat().st_size
    inside = sum(_within(time, start, end) for time in times)
    if inside == 0:
        raise _nothing_between(path, start, end)
    return ClipInfo(
        path=path,
        width=width,
        height=height,
        frames=inside,
        fps=fps,
        duration=inside / fps,
        bytes=size,
        sha256=sha256_of(path),
        frames_in_file=len(times),
        start=start,
        end=end,
        note=note,
    )


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
    frames = files_in(folder, IMAGE_SUFFIXES)
    if not frames:
        raise InputError(f"The folder {folder} holds no {IMAGE_KINDS} frames.")
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


def _mean_rate(times: Sequence[float]) -> tuple[float, str]:
    span = times[-1] - times[0]
    if span <= 0:
        return DEFAULT_SOURCE_FPS, f"frame rate unknown, taken as {DEFAULT_SOURCE_FPS:g} fps"
    return round((len(times) - 1) / span, 3), ""


def read_clip(
    path: Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    source_fps: float | None = None,
    size: tuple[int, int] | None = None,
) -> Pixels:
    """The frames of a clip from `start` to before `end`, as (N, H, W, 3) uint8, upright.

    With `size` (width, height) each frame goes through `images.fit` as soon as it is decoded, so that a
    large clip never fills the memory. `source_fps` is the rate of a folder of frames. The frames
    are those that `probe_clip` counts with the same arguments. Raises InputError as it does.
    """
    _check_range(start, end)
    if path.is_dir():
        frames = list(_read_folder(path, start, end, _folder_rate(source_fps), size))
    else:
        try:
            decoded = ffmpeg.decode(path, _filters(start, end))
            frames = [pixels if size is None else fit(pixels, size) for pixels in decoded]
        except ffmpeg.FfmpegError as error:
            raise _undecodable(path, error) from error
    if not frames:
        raise _nothing_between(path, start, end)
    different = next((frame for frame in frames if frame.shape != frames[0].shape), None)
    if different is not None:
        raise InputError(f"The frames of {path} differ in size. The frames of a clip have one size.")
    return np.stack(frames)


def _read_folder(
    folder: Path, start: float, end: float | None, fps: float, size: tuple[int, int] | None
) -> Iterator[Pixels]:
    for index, frame in enumerate(_frame_files(folder)):
        if _within(index / fps, start, end):
            pixels = read_image(frame)
            yield pixels if size is None else fit(pixels, size)


def _filters(start: float, end: float | None) -> str:
    """ffmpeg's filter chain: upright frames with square pixels, timed from 0 s on, those in the range."""
    chosen = f"gte(t,{start!r})" + ("" if end is None else f"*lt(t,{end!r})")
    return f"setpts=PTS-STARTPTS,select='{chosen}',{ffmpeg.SQUARE_PIXELS},format=rgb24"


def caption_beside(path: Path) -> str | None:
    """The caption in the text file beside a clip (the same name, `.txt`), or None when there is none.

    Raises InputError when the file is empty or not UTF-8.
    """
    beside = caption_path(path)
    if not beside.is_file():
        return None
    try:
        caption = beside.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"The caption {beside} is not UTF-8 text. Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"The caption {beside} can't be read: {error.strerror}.") from error
    if not caption:
        raise InputError(f"The caption {beside} is empty. Write the clip's prompt into it, or remove it.")
    return caption


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a clip a training step sees: `frames` of them at about `fps`, from a drawn start.

    The paper's are 32 frames at 8 fps (section 4.1). As the authors do, a clip with no more frames than
    are asked for is taken at stride 1. Where the stride that gives `fps` is too wide for the clip, the
    widest one that still fits all frames is taken instead. A window holds `frame_step` * k + 1 frames, as the base
    asks for: at 1 any number.
    """

    frames: int
    fps: float
    frame_step: int = 1

    def stride(self, source_fps: float, available: int) -> int:
        """Every how many frames of the clip one is taken."""
        if available <= self.frames or self.frames == 1:
            return 1
        return min(self._wanted_stride(source_fps), (available - 1) // (self.frames - 1))

    def windows(self, available: int, source_fps: float) -> int:
        """How many starts a window can have."""
        return available - (self._used(available) - 1) * self.stride(source_fps, available)

    def indices(self, start: int, available: int, source_fps: float) -> npt.NDArray[np.int64]:
        """The frames of the window that begins at frame `start`, (min(frames, available),)."""
        windows = self.windows(available, source_fps)
        if not 0 <= start < windows:
            raise ValueError(f"start {start} is outside the {windows} windows")
        steps = np.arange(self._used(available), dtype=np.int64)
        return start + self.stride(source_fps, available) * steps

    def starts_ahead(self, available: int, source_fps: float) -> list[int]:
        """Starts of the windows that are encoded before the first step where latents can't be cut at will: up to
        `WINDOWS_AHEAD`, spread evenly over the clip."""
        windows = self.windows(available, source_fps)
        return [round(start) for start in np.linspace(0, windows - 1, min(WINDOWS_AHEAD, windows))]

    def describe(self, info: ClipInfo) -> tuple[str, str]:
        """What is used of a clip, and what is dropped and why, in a few words each."""
        stride, wanted = self.stride(info.fps, info.frames), self._wanted_stride(info.fps)
        windows = self.windows(info.frames, info.fps)
        if info.frames < self.frames:
            taken = self._used(info.frames)
            all_or_so_many = (
                f"all {_count(taken, 'frame')}" if taken == info.frames else f"{taken} of {info.frames} frames"
            )
            used = f"{all_or_so_many} ({self.frames} asked for)"
        else:
            used = f"{_count(self.frames, 'frame')} at {info.fps / stride:.3g} fps, {_count(windows, 'start')}"
        if stride < wanted and self.frames > 1:
            used += f"; too short for {self.fps:g} fps"
        if self.frame_step > 1:
            used += f"; {_count(len(self.starts_ahead(info.frames, info.fps)), 'window')} encoded ahead"
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

    def _used(self, available: int) -> int:
        most = min(self.frames, available)
        return most - (most - 1) % self.frame_step


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

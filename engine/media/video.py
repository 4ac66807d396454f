"""Writing videos. The same frames, rate and metadata give the same bytes: no date, no version, one thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.errors import InputError
from engine.media import ffmpeg
from engine.media.metadata import for_gif, for_mp4, for_webp
from engine.media.sheets import contact_sheet, write_sheet
from engine.media.writing import check_target, written

_CRF = 12  # Nearly invisible loss: these videos are small, and people look at them enlarged.
_SCALER = "bicubic+accurate_rnd+full_chroma_int"
_WEBP_QUALITY = 90
_SHEET_COLUMNS = 8
_GIF_MOST_FPS = 50  # A delay below 2/100 s is played as 1/10 s by browsers.
_GIF_LONGEST = 65535  # Hundredths of a second that a frame's delay can hold.


def check_rate(path: Path, fps: float) -> None:
    """Raise InputError for a rate that no video can have, or not one of the format that the suffix says."""
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"A video can't have {fps:g} frames a second. Give a number above 0.")
    if path.suffix.lower() == ".gif":
        if fps > _GIF_MOST_FPS:
            raise InputError(f"A GIF can show {_GIF_MOST_FPS} frames a second, not {fps:g}. Write .mp4 or .webp.")
        if 100 / fps > _GIF_LONGEST:
            raise InputError(f"A GIF's frame can last {_GIF_LONGEST / 100:g} s, not {1 / fps:g}. Write .mp4 or .webp.")


def write_video(
    frames: npt.NDArray[np.uint8], path: Path, fps: float, metadata: Mapping[str, Any], *, replace: bool = True
) -> None:
    """Write frames (F, H, W, 3) uint8 as what the suffix says, with `metadata` in it for `read_metadata`.

    `.mp4`: H.264, yuv420p, which has no odd sizes: those are padded by repeating the last row or column.
    `.gif` and `.webp`: animated, for ever; equal neighbours are stored as one longer frame. `.png`: a
    contact sheet of up to 8 frames. An existing file is replaced, and only by a complete one; without `replace` it
    stays.

    Raises FileThereError for a file that stays, InputError for another suffix, a folder that does not exist or a rate
    that the format can't show, and JobError when the disk refuses.
    """
    check_target(path)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"frames must be (F, H, W, 3) uint8, not {frames.shape} {frames.dtype}")
    check_rate(path, fps)
    match path.suffix.lower():
        case ".mp4":
            _write_mp4(frames, path, fps, metadata, replace)
        case ".gif":
            _write_gif(frames, path, fps, metadata, replace)
        case ".webp":
            _write_webp(frames, path, fps, metadata, replace)
        case _:
            shown = min(len(frames), _SHEET_COLUMNS)
            label = f"{shown} of {len(frames)} frames, {fps:g} fps"
            write_sheet(contact_sheet([(label, list(frames))], columns=_SHEET_COLUMNS), path, metadata, replace=replace)


def _write_mp4(
    frames: npt.NDArray[np.uint8], path: Path, fps: float, metadata: Mapping[str, Any], replace: bool
) -> None:
    odd_rows, odd_columns = frames.shape[1] % 2, frames.shape[2] % 2
    even = np.ascontiguousarray(np.pad(frames, ((0, 0), (0, odd_rows), (0, odd_columns), (0, 0)), "edge"))
    _, height, width, _ = even.shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "-"]
    # Tagged with the matrix that players assume for small videos, so that tag and habit agree.
    colours = ["-vf", f"scale=out_color_matrix=smpte170m:out_range=tv:flags={_SCALER}"]
    colours += ["-pix_fmt", "yuv420p", "-colorspace", "smpte170m", "-color_range", "tv"]
    h264 = ["-c:v", "libx264", "-preset", "slow", "-crf", str(_CRF), "-threads", "1"]
    # Unit type 6 is the SEI in which x264 notes its version and settings.
    same_bytes = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-bsf:v", "filter_units=remove_types=6"]
    with written(path, replace=replace) as partial:
        note = partial.with_name(f"{partial.name}.txt")
        try:
            note.write_text(for_mp4(metadata), encoding="ascii")
            described = ["-f", "ffmetadata", "-i", f"file:{note}", "-map", "0:v", "-map_metadata", "1"]
            output = ["-movflags", "+faststart", "-f", "mp4", "-y", f"file:{partial}"]
            command = [*raw, *described, *colours, *h264, *same_bytes, *output]
            ffmpeg.run(command, stdin=even.data.cast("B"))
        finally:
            note.unlink(missing_ok=True)


def _write_gif(
    frames: npt.NDArray[np.uint8], path: Path, fps: float, metadata: Mapping[str, Any], replace: bool
) -> None:
    count, height, width, _ = frames.shape
    # One palette for all frames: one each would make still areas flicker.
    palette = Image.fromarray(frames.reshape(count * height, width, 3)).quantize(256)
    first, *others = (Image.fromarray(frame).quantize(palette=palette) for frame in frames)
    delays = [10 * ticks for ticks in _ticks(count, 100 / fps)]
    with written(path, replace=replace) as partial:
        first.save(
            partial,
            "GIF",
            save_all=True,
            append_images=others,
            duration=delays,
            loop=0,
            comment=for_gif(metadata),
        )


def _write_webp(
    frames: npt.NDArray[np.uint8], path: Path, fps: float, metadata: Mapping[str, Any], replace: bool
) -> None:
    first, *others = (Image.fromarray(frame) for frame in frames)
    with written(path, replace=replace) as partial:
        first.save(
            partial,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=_ticks(len(frames), 1000 / fps),
            loop=0,
            quality=_WEBP_QUALITY,
            exif=for_webp(metadata),
        )


def _ticks(count: int, ticks_a_frame: float) -> list[int]:
    """Whole delays whose sum never strays by more than half a tick: 8 fps in a GIF is 12, 13, 12, 13."""
    ends = [round(number * ticks_a_frame) for number in range(count + 1)]
    return [max(1, after - before) for before, after in pairwise(ends)]

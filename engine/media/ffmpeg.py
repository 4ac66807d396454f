"""Driving the ffmpeg binary that imageio-ffmpeg brings: one process a call, nothing from the network."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from engine.errors import JobError

# Pixels that are not square (DV, DVD) are made so; where they are square this scales nothing.
SQUARE_PIXELS = "scale=w='max(1,round(iw*sar))':h=ih:flags=bicubic,setsar=1"

_QUIET = ("-v", "error", "-nostdin")


class FfmpegError(JobError):
    """ffmpeg stopped with an error; the message is the last line it wrote."""


@dataclass(frozen=True)
class Stream:
    """The frames of a video as they decode: upright size, the time of each in seconds, from 0 on.

    `complaint` is ffmpeg's last line when it decoded the file with errors, else "".
    """

    width: int
    height: int
    times: tuple[float, ...]
    complaint: str


@cache
def executable() -> str:
    """The path of ffmpeg. Raises JobError when there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise JobError(
            "ffmpeg was not found. Reinstall the package imageio-ffmpeg, or let IMAGEIO_FFMPEG_EXE name one."
        ) from error


def run(arguments: Sequence[str], stdin: bytes | memoryview = b"") -> tuple[bytes, str]:
    """Run ffmpeg to its end; its standard output, and its last complaint. Raises FfmpegError."""
    command = [executable(), *_QUIET, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    complaint = _last_line(done.stderr)
    if done.returncode != 0:
        raise FfmpegError(complaint or f"exit code {done.returncode}")
    return done.stdout, complaint


def source(path: Path) -> list[str]:
    """Arguments that open a local file, whatever its name looks like, and only local files."""
    return ["-protocol_whitelist", "file", "-i", f"file:{path}"]


def probe(path: Path, frames: int | None = None) -> Stream:
    """Decode a video's first stream (or its first `frames` frames) without keeping the pixels.

    Counts what really decodes, not what the container claims. Raises FfmpegError.
    """
    limit = [] if frames is None else ["-frames:v", str(frames)]
    chain = f"{SQUARE_PIXELS},setpts=PTS-STARTPTS"
    timing = ["-fps_mode", "passthrough", "-enc_time_base", "filter"]
    output, complaint = run([*source(path), "-map", "0:V:0", "-vf", chain, *timing, *limit, "-f", "framecrc", "-"])
    width = height = 0
    seconds_a_tick = 0.0
    times: list[float] = []
    for line in output.decode().splitlines():
        if line.startswith("#tb 0:"):
            over, under = line.split(":")[1].split("/")
            seconds_a_tick = int(over) / int(under)
        elif line.startswith("#dimensions 0:"):
            width, height = (int(side) for side in line.split(":")[1].split("x"))
        elif not line.startswith("#"):
            times.append(int(line.split(",")[2]) * seconds_a_tick)
    if not times:
        raise FfmpegError(complaint or "it holds no frame")
    return Stream(width, height, tuple(times), complaint)


def decode(path: Path, filters: str) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames (H, W, 3) of a video's first stream, one by one, behind a filter chain. Or FfmpegError."""
    picture = ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    command = [executable(), *_QUIET, *source(path), "-map", "0:V:0", "-vf", filters, *picture]
    # Complaints go to a file: a full pipe that nobody reads would stop ffmpeg.
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        assert process.stdout is not None
        try:
            while process.stdout.readline() == b"P6\n":
                width, height = (int(side) for side in process.stdout.readline().split())
                process.stdout.readline()
                pixels = process.stdout.read(width * height * 3)
                if len(pixels) < width * height * 3:
                    break
                yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
            process.stdout.close()
            if process.wait() != 0:
                complaints.seek(0)
                raise FfmpegError(_last_line(complaints.read()) or f"exit code {process.returncode}")
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()


def _last_line(output: bytes) -> str:
    """Without the address in memory that ffmpeg puts before it, which is another one each time."""
    text = re.sub(r"\[(\S+) @ 0x[0-9a-f]+\]", r"\1:", output.decode("utf-8", "replace"))
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")

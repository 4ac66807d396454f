"""Driving the ffmpeg binary that imageio-ffmpeg brings: one process a call, nothing from the network."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import imageio_ffmpeg

from engine.errors import JobError

_QUIET = ("-v", "error", "-nostdin")


class FfmpegError(JobError):
    """ffmpeg stopped with an error; the message says in our words why, made from what it wrote."""

    def __init__(self, written: str) -> None:
        super().__init__(_explained(written))


@cache
def executable() -> str:
    """The path of ffmpeg. Raises JobError when there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise JobError(
            "ffmpeg was not found. Reinstall the package imageio-ffmpeg, or let IMAGEIO_FFMPEG_EXE name one."
        ) from error


def command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs ffmpeg so that it writes errors only."""
    return [executable(), *_QUIET, *arguments]


def run(arguments: Sequence[str], stdin: bytes | memoryview = b"") -> tuple[bytes, str]:
    """Run ffmpeg to its end; its standard output, and its last complaint. Raises FfmpegError."""
    done = subprocess.run(command(arguments), input=stdin, capture_output=True, check=False)
    written = done.stderr.decode("utf-8", "replace")
    if done.returncode != 0:
        raise FfmpegError(written or f"exit code {done.returncode}")
    return done.stdout, _last_line(written)


def messages(arguments: Sequence[str]) -> str:
    """All that ffmpeg tells of a file and of its work on it, whether it succeeds or not."""
    told = [executable(), "-hide_banner", "-nostdin", *arguments]
    return subprocess.run(told, capture_output=True, check=False).stderr.decode("utf-8", "replace")


def source(path: Path) -> list[str]:
    """Arguments that open a local file, whatever its name looks like, and only local files."""
    return ["-protocol_whitelist", "file", "-i", f"file:{path}"]


# What ffmpeg writes, and what it means to a person. The first that is found counts.
_MEANINGS = (
    ("moov atom not found", "its index is missing: it was not copied or recorded to its end, or is no video at all"),
    ("No space left on device", "the disk is full"),
    ("File too large", "the file would be larger than the disk allows"),
    ("Invalid data found when processing input", "it is damaged, or no video at all"),
    ("Output file does not contain any stream", "it holds no video"),
    ("does not match any streams", "it holds no video"),
    ("matches no streams", "it holds no video"),
    ("Decoder not found", "this ffmpeg has no decoder for it"),
    ("Protocol not found", "it points to other files, which are not followed"),
    ("not on whitelist", "it points to other files, which are not followed"),
    ("Error opening output file", "the encoder could not be started"),
)


def _explained(written: str) -> str:
    for words, meaning in _MEANINGS:
        if words in written:
            return meaning
    return _last_line(written)


def _last_line(text: str) -> str:
    """Without the address in memory that ffmpeg puts before it, which is another one each time."""
    lines = [line.strip() for line in re.sub(r"\[(\S+) @ 0x[0-9a-f]+\]", r"\1:", text).splitlines()]
    return next((line for line in reversed(lines) if line), "")

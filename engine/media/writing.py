"""Checks of a path before a media file is written, and the errors of writing it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InputError, JobError
from engine.files import check_may_write, check_replaceable, written_aside
from engine.media.ffmpeg import FfmpegError

OUTPUT_SUFFIXES = (".mp4", ".gif", ".webp", ".png")
# File systems take 255 bytes; the temporary name beside it is a little longer.
_LONGEST_NAME = 230


def check_target(path: Path) -> None:
    """Refuse, before any work is done, a path that can't become a video or a contact sheet.

    Raises InputError for an unknown suffix, a folder that does not exist or may not be written into, a path
    that is a folder or a device, and a name that is too long.
    """
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise InputError(f"{path} can't be written: its suffix must be one of {', '.join(OUTPUT_SUFFIXES)}.")
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise InputError(f"{path.name} is too long for a file's name: {_LONGEST_NAME} bytes are the most.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to write {path.name} into. Create it first.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name a file to write.")
    check_replaceable(path)
    check_may_write(path.parent)


@contextmanager
def written(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """`written_aside`, with a JobError for a full disk, a read-only folder, and an encoder that fails."""
    try:
        with written_aside(path, replace=replace) as partial:
            yield partial
    except FfmpegError as error:
        raise JobError(f"{path} can't be written: {error}. Free some space, or write another format.") from error
    except OSError as error:
        raise JobError(
            f"{path} can't be written: {error.strerror or error}. Free some space, or write elsewhere."
        ) from error

"""What files are, by their contents: pictures, animations, videos, captions. And their order, hashes and names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import InputError
from engine.media.pictures import HEIF_BRANDS, frames_in

Kind = Literal["picture", "animation", "video", "caption", "other"]

CAPTION_SUFFIX = ".txt"
# Suffixes decide only where the contents do not: a damaged picture or video is named as damaged.
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
_VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".mts", ".m2ts", ".3gp", ".ogv"),
)
_HEAD = 400
_TRANSPORT_PACKET = 188  # Bytes between the marks of an MPEG transport stream; 192 with a time stamp (Blu-ray).
_PICTURE_BRANDS = (*HEIF_BRANDS, b"avif", b"avis")  # Pictures that lie in MP4's container.


@dataclass(frozen=True)
class Unused:
    """A file or folder that was given and is not used. `reason` completes "FILE ...", as in "is no picture"."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason} and is not used"


@dataclass(frozen=True)
class Found:
    """What files and folders stand for: what is used, in order, and everything else that was given."""

    used: tuple[Path, ...]
    unused: tuple[Unused, ...] = ()

    def with_all(self, given: Sequence[Path]) -> tuple[Path, ...]:
        """`used`, for those who can't name the rest. Raises InputError where one of the paths `given` is not used."""
        for entry in self.unused:
            if entry.path in given:
                raise InputError(f"{entry}. Leave it out.")
        return self.used


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key under which `frame2` comes before `frame10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name.casefold())
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts], path.name


def files_in(folder: Path) -> list[Path]:
    """The visible files directly inside a folder, in natural order. Raises InputError when it can't be listed."""
    return [path for path in _listed(folder) if path.is_file()]


def folders_in(folder: Path) -> list[Path]:
    """The visible folders directly inside a folder, as `files_in`."""
    return [path for path in _listed(folder) if path.is_dir()]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures directly inside a folder, animated ones left out, in natural order."""
    return [path for path in files_in(folder) if kind_of(path) == "picture"]


def _listed(folder: Path) -> list[Path]:
    try:
        visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} can't be listed: {error.strerror}.") from error
    return sorted(visible, key=natural_key)


def kind_of(path: Path) -> Kind:
    """What a file is, by its contents; by its suffix only where they tell nothing, as of a damaged file.

    Raises InputError when the file can't be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    frames = frames_in(path)
    if frames is not None:
        return "animation" if frames > 1 else "picture"
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return "picture"
    if _is_container(head):
        return "video"
    suffix = path.suffix.lower()
    if suffix in _PICTURE_SUFFIXES:
        return "picture"
    if suffix in _VIDEO_SUFFIXES:
        return "video"
    return "caption" if suffix == CAPTION_SUFFIX else "other"


def _is_container(head: bytes) -> bool:
    """Whether a file starts as the containers do that hold videos; whether it holds one, ffmpeg must tell."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return True
    starts = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"0&\xb2u\x8ef\xcf\x11", b"FLV\x01", b"OggS")
    if head.startswith(starts):
        return True
    return any(head[at :: _TRANSPORT_PACKET + at][:2] == b"GG" for at in (0, 4))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents; of a folder of frames, over the names and contents of its pictures."""
    if path.is_dir():
        whole = hashlib.sha256()
        for frame in pictures_in(path):
            whole.update(frame.name.encode("utf-8", "surrogateescape") + b"\0")
            whole.update(bytes.fromhex(sha256_of(frame)))
        return whole.hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error


def duplicates(hashes: Sequence[tuple[Path, str]]) -> list[str]:
    """A sentence for each file that has the contents of one before it, of files and their hashes."""
    first: dict[str, Path] = {}
    sentences = []
    for path, digest in hashes:
        if digest in first:
            sentences.append(f"{path} has the same contents as {first[digest].name}: it counts twice")
        first.setdefault(digest, path)
    return sentences

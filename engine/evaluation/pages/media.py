"""The pictures and videos of a page, each embedded once."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import InputError
from engine.media import decoding, ffmpeg

_TYPES = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


@dataclass(frozen=True)
class Item:
    """A file in a page: under which id, as what, and its hash as it is on disk. `frames` is 0 for a picture."""

    id: str
    type: str
    sha256: str
    base64: str = field(repr=False)
    frames: int = 0


class Media:
    """Files of a suite's folder, read when they are asked for, by contents.

    Ids are in the order of asking, so that they tell nothing of what they stand for. With `bare` videos lose
    what they note of their making.
    """

    def __init__(self, folder: Path, *, bare: bool = False) -> None:
        self._folder = folder.resolve()
        self._bare = bare
        self._items: dict[str, Item] = {}

    def items(self) -> list[Item]:
        """All that was asked for."""
        return list(self._items.values())

    def add(self, relative: str, *, frames: int | None = None) -> Item:
        """Embed a file, given by its path in the suite's folder; `frames` of a video are counted if not given.

        Raises `InputError` where it is missing, lies elsewhere, or is of a kind that browsers don't show.
        """
        path = (self._folder / relative).resolve()
        kind = _TYPES.get(path.suffix.lower())
        if not path.is_relative_to(self._folder):
            raise InputError(f"{relative} lies outside the suite's folder {self._folder}: nothing is taken from there")
        if kind is None:
            raise InputError(f"{path} can't be shown in a page: it is none of {', '.join(_TYPES)}")
        try:
            contents = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise InputError(f"{path} is missing, of which the suite's results tell: make it anew") from None
        sha256 = hashlib.sha256(contents).hexdigest()
        if sha256 not in self._items:
            is_video = kind.startswith("video/")
            counted = (frames or len(_timing(path).times)) if is_video else 0
            shown = _without_notes(path) if self._bare and is_video else contents
            text = base64.b64encode(shown).decode("ascii")
            self._items[sha256] = Item(f"m{len(self._items) + 1}", kind, sha256, text, counted)
        return self._items[sha256]


def _timing(path: Path) -> decoding.Timing:
    try:
        return decoding.timing(decoding.inspect(path))
    except ffmpeg.FfmpegError as error:
        raise InputError(f"{path} is not a video that can be shown: {error}") from error


def _without_notes(path: Path) -> bytes:
    """An MP4 without metadata, its pictures untouched."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.mp4"
        same = ["-map", "0:v:0", "-c", "copy", "-map_metadata", "-1", "-fflags", "+bitexact", "-movflags", "+faststart"]
        try:
            ffmpeg.run([*ffmpeg.source(path), *same, "-y", f"file:{bare}"])
        except ffmpeg.FfmpegError as error:
            raise InputError(f"{path} is not a video that can be shown: {error}") from error
        return bare.read_bytes()

"""How a file was made, kept inside the file: one JSON object in the place each format has for a comment.

MP4: the tag `comment`; GIF: the comment extension; WebP: EXIF's ImageDescription; PNG: the tEXt chunk `dv`.
The JSON is plain ASCII, so that no format has to know an encoding, and stands under one key, `dv`, so that
another program's comment is never taken for ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.errors import InputError
from engine.media import ffmpeg
from engine.media.pictures import DAMAGE

KEY = "dv"
_IMAGE_DESCRIPTION = 0x010E  # The EXIF tag.


def as_text(metadata: Mapping[str, Any]) -> str:
    """The one line that is written; what JSON can't hold, NaN included, is a bug of the caller's."""
    return json.dumps({KEY: dict(metadata)}, allow_nan=False)


def for_mp4(metadata: Mapping[str, Any]) -> str:
    """ffmpeg's metadata file. An argument of the command line would be limited to 128 KiB."""
    escaped = re.sub(r"([=;#\\])", r"\\\1", as_text(metadata))
    return f";FFMETADATA1\ncomment={escaped}\n"


def for_gif(metadata: Mapping[str, Any]) -> bytes:
    """The comment for Pillow's `comment` argument."""
    return as_text(metadata).encode("ascii")


def for_webp(metadata: Mapping[str, Any]) -> Image.Exif:
    """The EXIF block for Pillow's `exif` argument."""
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = as_text(metadata)
    return exif


def for_png(metadata: Mapping[str, Any]) -> PngInfo:
    """The text chunk for Pillow's `pnginfo` argument."""
    chunks = PngInfo()
    chunks.add_text(KEY, as_text(metadata))
    return chunks


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that `write_video` or `write_sheet` wrote into a file.

    The file's contents decide what it is, not its name. Raises InputError when there is no such file, and
    when it is not a media file made by dv.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}. Check the name.") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    text = _from_mp4(path) if head[4:8] == b"ftyp" else _from_image(path)
    try:
        metadata = json.loads(text)[KEY]
    except (ValueError, KeyError, TypeError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise InputError(f"{path} was not made by dv: there is no note in it of how it was made.")
    return metadata


def _from_mp4(path: Path) -> str:
    try:
        output, _ = ffmpeg.run([*ffmpeg.source(path), "-f", "ffmetadata", "-"])
    except ffmpeg.FfmpegError:
        return ""
    lines = output.decode("utf-8", "replace").splitlines()
    comment = next((line for line in lines if line.startswith("comment=")), "")
    return re.sub(r"\\(.)", r"\1", comment.removeprefix("comment="))


def _from_image(path: Path) -> str:
    try:
        with Image.open(path, formats=("GIF", "PNG", "WEBP")) as image:
            if image.format == "GIF":
                return bytes(image.info.get("comment", b"")).decode("ascii", "replace")
            if image.format == "PNG":
                return str(image.info.get(KEY, ""))
            return str(image.getexif().get(_IMAGE_DESCRIPTION, ""))
    except DAMAGE:
        return ""

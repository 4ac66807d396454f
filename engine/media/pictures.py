"""Opening pictures with Pillow: the formats that are read, no raw warnings, our own words for what is wrong."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from engine.errors import InputError

PICTURE_KINDS = "JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF"
# What Pillow's decoders raise on damaged data. The last one guards against files made to fill the memory.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
# None of these runs another program, as PostScript would.
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
_ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An open picture, nothing decoded yet; what Pillow warns of stays unsaid.

    Raises InputError for a file that is missing, unknown or damaged, also where a decoder raises inside the block.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(path) as image:
                yield image
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}. Check the name.") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} can't be read as an image: it is not {PICTURE_KINDS}.") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise InputError(
            f"{path} is too large: {most} million pixels are the most that are read. Make it smaller first."
        ) from error
    except DAMAGE as error:
        raise InputError(f"{path} can't be read as an image: {_reason(error, path)}. Is the file complete?") from error


def _open(path: Path) -> Image.Image:
    formats: tuple[str, ...] = _FORMATS
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS:
            formats = (*formats, _heif())
    return Image.open(path, formats=formats)


@cache
def _heif() -> str:
    """The name of the format that phones write, once Pillow has learnt to read it."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return "HEIF"


def _reason(error: Exception, path: Path) -> str:
    text = str(error)
    if "truncated" in text or "Truncated" in text or isinstance(error, (EOFError, IndexError, struct.error)):
        return "it ends too early"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.replace(repr(str(path)), path.name).replace(str(path), path.name) or "it is damaged"


def frames_in(path: Path) -> int | None:
    """How many frames an animation has, 1 for any other picture; None for what is no picture, or a broken one."""
    try:
        with opened(path) as image:
            return int(getattr(image, "n_frames", 1)) if image.format in _ANIMATED else 1
    except InputError:
        return None


def decoded(path: Path) -> Image.Image:
    """A picture, of an animation the first frame, decoded and turned upright. Raises InputError as `opened` does."""
    with opened(path) as image:
        image.load()
        return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned by its EXIF orientation; one whose EXIF is broken stays as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except DAMAGE:
        return image

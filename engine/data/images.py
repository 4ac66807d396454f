"""Reading photographs and fitting them to the size that is trained. Everything is uint8 NumPy; no torch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from engine.data.files import sha256_of
from engine.media.pictures import decoded, frames_in

Pixels = npt.NDArray[np.uint8]
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class ImageInfo:
    """A photograph as it will be read: its size after the EXIF orientation, its bytes and their hash.

    `note` says what a person should know, else "".
    """

    path: Path
    width: int
    height: int
    bytes: int
    sha256: str
    note: str = ""


def read_image(path: Path) -> Pixels:
    """An image as (H, W, 3) uint8: upright, in sRGB, transparency flattened on white, grey and 16 bit converted.

    Of an animation it is the first frame. Raises InputError for a file that is missing, truncated or damaged.
    """
    image = _in_srgb(eight_bit(decoded(path)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def eight_bit(image: Image.Image) -> Image.Image:
    """Grey images of 16 or 32 bit scaled to 8 bit; Pillow's own conversion would clip them to white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    # Pillow gives 16-bit greys as "I;16" or "I" with values up to 65535; floats are taken as 0 to 1.
    full = 1.0 if image.mode == "F" else 65535.0
    return Image.fromarray(np.clip(np.rint(np.nan_to_num(values) * (255.0 / full)), 0, 255).astype(np.uint8))


def _in_srgb(image: Image.Image) -> Image.Image:
    """The image with its colours in sRGB, by the ICC profile in the file; as it is where none is, or a broken one."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).casefold():
            return image
        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        opaque = image if image.mode in ("RGB", "L", "CMYK") else image.convert("L" if image.mode == "LA" else "RGB")
        converted = ImageCms.profileToProfile(opaque, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    assert converted is not None  # Only a conversion in place gives none.
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize until `size` (width, height) is just covered, then crop the centre (the paper's preprocessing).

    `pixels` is (H, W, 3) or (F, H, W, 3); bicubic, antialiased when it shrinks.
    """
    if pixels.ndim == 4:
        shape = (0, size[1], size[0], 3)
        return np.stack([fit(frame, size) for frame in pixels]) if len(pixels) else np.zeros(shape, np.uint8)
    return np.array(covered(Image.fromarray(pixels), size, Image.Resampling.BICUBIC))


def shifted(pixels: npt.NDArray[_Scalar], x: int, y: int) -> npt.NDArray[_Scalar]:
    """`pixels` (H, W, ...) moved `x` to the right and `y` down; what comes in at the edges is their reflection."""
    height, width = pixels.shape[:2]
    return pixels[_reflected(height, y)][:, _reflected(width, x)]


def _reflected(length: int, by: int) -> npt.NDArray[np.intp]:
    """Which of `length` pixels in a row stand where, once they are moved `by`."""
    start = abs(by) - by
    return np.pad(np.arange(length), abs(by), mode="symmetric")[start : start + length]


def covered(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    """The image resized until it just covers `size` (width, height), the centre of it."""
    width, height = size
    scale = max(width / image.width, height / image.height)
    resized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    if resized != image.size:
        image = image.resize(resized, resampling)
    left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
    return image.crop((left, top, left + width, top + height))


def probe_image(path: Path) -> ImageInfo:
    """What a plan says of an image. It is decoded in full, so that a damaged one is found now."""
    width, height = decoded(path).size
    frames = frames_in(path) or 1
    note = f"an animation of {frames} frames: the first one is used" if frames > 1 else ""
    return ImageInfo(path, width, height, path.stat().st_size, sha256_of(path), note)

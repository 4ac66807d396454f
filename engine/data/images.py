"""Finding, reading and fitting photographs and their masks. Everything is uint8 or bool NumPy; no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from engine.errors import InputError
from engine.media.damage import DAMAGE

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_Array = TypeVar("_Array", Pixels, Mask)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
IMAGE_KINDS = "JPEG, PNG or WebP"
MASK_FOLDER = "masks"


@dataclass(frozen=True)
class ImageInfo:
    """A photograph as it will be read: its size after the EXIF orientation, its bytes and their hash."""

    path: Path
    width: int
    height: int
    bytes: int
    sha256: str


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key under which `frame2` comes before `frame10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name.casefold())
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts], path.name


def files_in(folder: Path, suffixes: Sequence[str] | None = None) -> list[Path]:
    """The visible files directly inside a folder, in natural order, with one of the suffixes where given.

    Raises InputError when the folder can't be listed.
    """
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} can't be listed: {error.strerror}.") from error
    wanted = [path for path in files if suffixes is None or path.suffix.lower() in suffixes]
    return sorted(wanted, key=natural_key)


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The images that files and folders stand for; of a folder those directly inside, in natural order.

    A file that is named twice counts once. Raises InputError for a path that does not exist, a folder
    without images, and a file that is not JPEG, PNG or WebP by its name.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for image in _images_at(path):
            found.setdefault(image.resolve(), image)
    if not found:
        raise InputError(f"No images were given. Name {IMAGE_KINDS} files, or a folder of them.")
    return list(found.values())


def _images_at(path: Path) -> list[Path]:
    if path.is_dir():
        images = files_in(path, IMAGE_SUFFIXES)
        if not images:
            raise InputError(f"The folder {path} holds no {IMAGE_KINDS} file (its sub-folders are not searched).")
        return images
    if not path.exists():
        raise InputError(f"There is no file or folder {path}. Check the name.")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f"{path} is not a {IMAGE_KINDS} file. Convert it to one of these first.")
    return [path]


def unused_files(paths: Sequence[Path], used: Sequence[Path]) -> list[Path]:
    """The visible files in the folders among `paths` that are not used, so that a plan can name them.

    A caption (the same name with `.txt`) of a used file counts as used, and so does all of a used folder.
    """
    taken = {path.resolve() for path in used}
    taken |= {caption_path(path).resolve() for path in used}
    folders = [path for path in paths if path.is_dir() and path.resolve() not in taken]
    return [file for folder in folders for file in files_in(folder) if file.resolve() not in taken]


def caption_path(path: Path) -> Path:
    """Where the caption of an image, a clip or a folder of frames lies: beside it, the same name, `.txt`."""
    return path.with_name(f"{path.resolve().name if path.is_dir() else path.stem}.txt")


def find_masks(images: Sequence[Path], masks: Path | None) -> dict[Path, Path]:
    """The mask of each image, by the same stem: in `masks`, else in a folder `masks/` beside the image.

    Without either folder the answer is empty. Raises InputError when some images have a mask and others
    none (a half-masked set is a mistake), when two masks share a stem, or when `masks` is not a folder.
    """
    if masks is not None and not masks.is_dir():
        raise InputError(f"There is no folder of masks {masks}. Check the name.")
    folders = {image: masks or image.parent / MASK_FOLDER for image in images}
    if not any(folder.is_dir() for folder in folders.values()):
        return {}
    by_stem = {folder: _masks_in(folder) for folder in set(folders.values())}
    missing = [image for image in images if image.stem not in by_stem[folders[image]]]
    if missing:
        names = ", ".join(str(image) for image in missing)
        raise InputError(
            f"No mask for {names} in {folders[missing[0]]}. Give every image a mask with the same stem "
            "(dog.jpg, dog.png), or take the folder of masks away."
        )
    return {image: by_stem[folders[image]][image.stem] for image in images}


def _masks_in(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in files_in(folder, IMAGE_SUFFIXES):
        if path.stem in found:
            raise InputError(f"{found[path.stem]} and {path} are masks of the same image. Keep one of them.")
        found[path.stem] = path
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A decoded image, turned upright by its EXIF orientation; InputError when it can't be decoded."""
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}. Check the name.") from error
    except DAMAGE as error:
        reason = str(error).replace(str(path), path.name).replace(repr(str(path)), path.name)
        raise InputError(f"{path} can't be read as an image: {reason}. Is the file complete?") from error
    yield upright


def read_image(path: Path) -> Pixels:
    """An image as (H, W, 3) uint8: upright, transparency flattened on white, grey and 16 bit converted.

    Raises InputError for a file that is missing, truncated or damaged.
    """
    with _opened(path) as image:
        image = _eight_bit(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return np.array(image.convert("RGB"))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey images of 16 or 32 bit scaled to 8 bit; Pillow's own conversion would clip them to white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    # Pillow gives 16-bit greys as "I;16" or "I" with values up to 65535; floats are taken as 0 to 1.
    full = 1.0 if image.mode == "F" else 65535.0
    return Image.fromarray(np.clip(np.rint(np.nan_to_num(values) * (255.0 / full)), 0, 255).astype(np.uint8))


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """A mask as (H, W) bool, true where it is brighter than half of its brightest pixel.

    Half of the brightest, not 128, so that masks of 0 and 1 work as well as those of 0 and 255.
    Transparent pixels are outside. `size` is the upright image's (width, height). Raises InputError when
    the mask has another size, marks nothing, or can't be read.
    """
    with _opened(path) as image:
        if image.size != size:
            raise InputError(
                f"The mask {path} is {image.width} x {image.height}, its image {size[0]} x {size[1]}. "
                "Make them the same size."
            )
        image = _eight_bit(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)
        grey = np.array(image.convert("L"))
    brightest = int(grey.max())
    if brightest == 0:
        raise InputError(f"The mask {path} is black all over. Paint the subject white.")
    return grey > brightest / 2


def fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize until `size` (width, height) is just covered, then crop the centre (the paper's preprocessing).

    `pixels` is (H, W, 3) or (F, H, W, 3); bicubic, antialiased when it shrinks.
    """
    if pixels.ndim == 4:
        shape = (0, size[1], size[0], 3)
        return np.stack([fit(frame, size) for frame in pixels]) if len(pixels) else np.zeros(shape, np.uint8)
    return _covered(Image.fromarray(pixels), size, Image.Resampling.BICUBIC)


def fit_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """`fit` for a mask (H, W): the same resize and crop, by the nearest pixel."""
    return _covered(Image.fromarray(mask.astype(np.uint8)), size, Image.Resampling.NEAREST).astype(np.bool_)


def shifted(pixels: _Array, x: int, y: int) -> _Array:
    """`pixels` (H, W, ...) moved `x` to the right and `y` down; what comes in at the edges is their reflection."""
    height, width = pixels.shape[:2]
    around = [(abs(y), abs(y)), (abs(x), abs(x)), *[(0, 0)] * (pixels.ndim - 2)]
    top, left = abs(y) - y, abs(x) - x
    return np.pad(pixels, around, mode="symmetric")[top : top + height, left : left + width]


def _covered(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Pixels:
    width, height = size
    scale = max(width / image.width, height / image.height)
    resized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    if resized != image.size:
        image = image.resize(resized, resampling)
    left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
    return np.array(image.crop((left, top, left + width, top + height)))


def probe_image(path: Path) -> ImageInfo:
    """What a plan says of an image. It is decoded in full, so that a damaged one is found now."""
    with _opened(path) as image:
        width, height = image.size
    return ImageInfo(path, width, height, path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents; of a folder of frames, over the names and contents of its images."""
    if path.is_dir():
        whole = hashlib.sha256()
        for frame in files_in(path, IMAGE_SUFFIXES):
            whole.update(frame.name.encode("utf-8", "surrogateescape") + b"\0")
            whole.update(bytes.fromhex(sha256_of(frame)))
        return whole.hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error

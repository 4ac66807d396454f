"""Masks of photographs: which part of a picture the loss counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.data.images import covered, eight_bit
from engine.errors import InputError
from engine.media.pictures import decoded

Mask = npt.NDArray[np.bool_]
Share = npt.NDArray[np.float32]

_LEAST_SHARE = (
    0.001  # Of the trained picture. At 256 x 256 that is one value of the latents: nothing is learnt from less.
)
_BILEVEL = 0.98  # Share of black and white pixels from which on a picture counts as painted in black and white.


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """A mask as (H, W) bool, true where it is brighter than half of its brightest pixel.

    Half of the brightest, not 128, so that masks of 0 and 1 work as well as those of 0 and 255. Transparent
    pixels are outside. Where the visible pixels aren't painted in black and white, as in a cut-out, all of them
    are inside. `size` is the upright image's (width, height). Raises InputError when the mask has another size,
    marks nothing, or can't be read.
    """
    image = eight_bit(decoded(path))
    if image.size != size:
        raise InputError(
            f"The mask {path} is {image.width} x {image.height}, its image {size[0]} x {size[1]}. "
            "Make them the same size."
        )
    if not image.has_transparency_data:
        return _bright(path, np.array(image.convert("L")))
    rgba = np.array(image.convert("RGBA"))
    visible = rgba[..., 3] > 127
    if not visible.any():
        raise InputError(f"The mask {path} is transparent all over. Paint the subject white.")
    if visible.all() or _black_and_white(rgba[visible][:, :3]):
        black = Image.new("RGBA", image.size, "black")
        return _bright(path, np.array(Image.alpha_composite(black, image.convert("RGBA")).convert("L")))
    return visible


def _bright(path: Path, grey: npt.NDArray[np.uint8]) -> Mask:
    brightest = int(grey.max())
    if brightest == 0:
        raise InputError(f"The mask {path} is black all over. Paint the subject white.")
    return grey > brightest / 2


def _black_and_white(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether pixels (N, 3) are nearly all black or white, and some of them each."""
    black, white = (pixels < 25).all(axis=1), (pixels > 230).all(axis=1)
    return bool(black.any() and white.any() and (black | white).mean() >= _BILEVEL)


def fit_mask(mask: Mask, size: tuple[int, int]) -> Share:
    """`images.fit` for a mask (H, W): the same resize and crop, the share of each new pixel that lies inside."""
    whole = Image.fromarray(mask.astype(np.float32))
    return np.array(covered(whole, size, Image.Resampling.BOX), dtype=np.float32)


def pool_mask(fitted: Share, size: tuple[int, int]) -> Share:
    """A fitted mask at the latents' `size` (width, height), by the mean over the area of each."""
    return np.array(Image.fromarray(fitted).resize(size, Image.Resampling.BOX), dtype=np.float32)


def trained_share(path: Path, size: tuple[int, int], trained: tuple[int, int]) -> tuple[float, float]:
    """How much of what is trained a mask leaves to the loss, and how much of the mask the crop leaves, 0 to 1 each.

    `size` is the upright image's (width, height), `trained` the size it is fitted to. Raises InputError as
    `read_mask` does, and where so little is left that nothing would be learnt.
    """
    mask = read_mask(path, size)
    fitted = fit_mask(mask, trained)
    share = float(fitted.mean())
    width, height = trained
    if share < _LEAST_SHARE:
        kind = "nothing" if share == 0 else f"{share:.2%}"
        raise InputError(
            f"The mask {path} leaves {kind} of the {width} x {height} pixels that are trained, the centre of its "
            "image. Crop the image and its mask to the subject, or turn `use_masks` off."
        )
    scale = max(width / size[0], height / size[1])
    return share, min(1.0, float(fitted.sum()) / (float(mask.sum()) * scale**2))

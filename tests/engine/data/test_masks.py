"""Reading masks and fitting them to what is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.finding import find_images, find_masks
from engine.data.images import fit, probe_image
from engine.data.masks import fit_mask, pool_mask, read_mask, trained_share
from engine.errors import InputError

DOG = Path(__file__).parents[3] / "../shared/data/subjects/dog2"


def saved(path: Path, colour: object = "red", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


def square(top: int, left: int, side: int, size: tuple[int, int] = (60, 40)) -> np.ndarray:
    """A mask (H, W) bool of a square, in a picture of `size` (width, height)."""
    mask = np.zeros(size[::-1], np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize("white", [1, 128, 255])
def test_mask_is_true_where_bright(tmp_path: Path, white: int) -> None:
    expected = np.zeros((6, 8), np.bool_)
    expected[1:3, 2:5] = True
    Image.fromarray(expected.astype(np.uint8) * white).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", (8, 6)) == expected).all()


def test_mask_that_does_not_serve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.png is 8 x 6, its image 6 x 8"):
        read_mask(saved(tmp_path / "m.png", "white"), (6, 8))
    with pytest.raises(InputError, match="black all over"):
        read_mask(saved(tmp_path / "m.png", "black"), (8, 6))


@pytest.mark.parametrize("colour", ["black", "white", "photograph"])
def test_a_mask_may_lie_in_the_alpha_channel(tmp_path: Path, colour: str) -> None:
    expected = square(10, 20, 15)
    rgba = np.zeros((40, 60, 4), np.uint8)
    if colour == "photograph":
        rgba[..., :3] = np.random.default_rng(0).integers(0, 200, (40, 60, 3))
    else:
        rgba[..., :3] = 0 if colour == "black" else 255
    rgba[..., 3] = expected * 255
    Image.fromarray(rgba).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", (60, 40)) == expected).all()


def test_a_mask_painted_on_a_transparent_layer_is_where_it_is_white(tmp_path: Path) -> None:
    expected = square(10, 20, 15)
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[expected] = 255
    rgba[5:30, 10:50, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", (60, 40)) == expected).all()


def test_a_mask_without_a_visible_pixel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="transparent all over"):
        read_mask(saved(tmp_path / "m.png", (255, 255, 255, 0), mode="RGBA"), (8, 6))


def test_mask_stays_on_its_subject_when_both_are_fitted() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 20:35] = True
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    apart = (fit_mask(mask, (16, 16)) > 0.5) != (fit(image, (16, 16))[..., 0] > 127)
    assert apart.mean() < 0.1


def test_a_mask_keeps_its_share_down_to_the_latents() -> None:
    fitted = fit_mask(square(100, 120, 3, (256, 256)), (256, 256))
    small = pool_mask(fitted, (32, 32))
    assert small.shape == (32, 32)
    assert 0 < small.max() < 1
    assert small.mean() == pytest.approx(fitted.mean()) == pytest.approx(9 / 256**2)


def mask_file(path: Path, mask: np.ndarray) -> Path:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return path


def test_the_share_is_that_of_the_trained_centre(tmp_path: Path) -> None:
    path = mask_file(tmp_path / "m.png", square(10, 10, 20))
    share, kept = trained_share(path, (60, 40), (16, 16))
    assert share == pytest.approx(20 * 20 / 40**2, rel=0.02)
    assert kept == pytest.approx(1, rel=0.02)
    _, cut = trained_share(mask_file(tmp_path / "n.png", square(10, 0, 20)), (60, 40), (16, 16))
    assert cut == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    "mask", [square(100, 0, 100, (1000, 256)), square(100, 500, 1, (1000, 1000))], ids=["cropped away", "vanishing"]
)
def test_a_mask_that_leaves_nothing_to_train_is_refused(tmp_path: Path, mask: np.ndarray) -> None:
    path = mask_file(tmp_path / "m.png", mask)
    with pytest.raises(InputError, match=r"m\.png leaves .* that are trained.*`use_masks`"):
        trained_share(path, mask.shape[::-1], (64, 64))


@pytest.mark.skipif(not DOG.is_dir(), reason="the real photographs are not here")
def test_real_photographs_and_their_masks() -> None:
    images = find_images([DOG]).used
    masks = find_masks(images, None).used
    assert len(images) == len(masks) == 6
    for image, path in zip(images, masks, strict=True):
        info = probe_image(image)
        mask = read_mask(path, (info.width, info.height))
        assert 0.05 < mask.mean() < 0.95

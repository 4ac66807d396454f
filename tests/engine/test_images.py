"""Finding, reading and fitting photographs and masks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.data.images import (
    find_images,
    find_masks,
    fit,
    fit_mask,
    probe_image,
    read_image,
    read_mask,
    sha256_of,
    shifted,
    unused_files,
)
from engine.errors import InputError

DOG = Path(__file__).parents[2] / "../shared/data/subjects/dog2"


def saved(path: Path, colour: object = "red", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


def test_folder_gives_its_images_in_natural_order_without_sub_folders(tmp_path: Path) -> None:
    for name in ("dog10.png", "dog2.JPG", "Dog1.webp", "dog03.jpeg", "deeper/dog0.png", ".hidden.png"):
        saved(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    names = [path.name for path in find_images([tmp_path])]
    assert names == ["Dog1.webp", "dog2.JPG", "dog03.jpeg", "dog10.png"]


def test_files_keep_their_order_and_count_once(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a.png"), saved(tmp_path / "b.png")
    assert find_images([second, tmp_path]) == [second, first]


def test_unusable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.heic").write_bytes(b"heic")
    for name in ("missing.png", "empty", "photo.heic"):
        with pytest.raises(InputError, match=name):
            find_images([tmp_path / name])
    with pytest.raises(InputError, match="No images"):
        find_images([])


def test_files_that_are_passed_over_are_listed(tmp_path: Path) -> None:
    used = [saved(tmp_path / "a.png")]
    (tmp_path / "a.txt").write_text("its caption")
    (tmp_path / "b.heic").write_bytes(b"heic")
    assert unused_files([tmp_path], used) == [tmp_path / "b.heic"]


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (5, 7)), (6, (0, 5)), (8, (7, 0))])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new("RGB", (8, 6))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_image(tmp_path / "a.png")
    info = probe_image(tmp_path / "a.png")
    assert (info.height, info.width) == pixels.shape[:2] == ((6, 8) if orientation in (1, 3) else (8, 6))
    assert np.argwhere(pixels[..., 0] == 255).tolist() == [list(corner)]


def test_transparency_becomes_white(tmp_path: Path) -> None:
    half_red = saved(tmp_path / "rgba.png", (255, 0, 0, 128), mode="RGBA")
    clear_grey = saved(tmp_path / "la.png", (0, 0), mode="LA")
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png", transparency=1)
    assert np.abs(read_image(half_red)[0, 0].astype(int) - [255, 127, 127]).max() <= 1
    assert (read_image(clear_grey) == 255).all()
    assert (read_image(tmp_path / "p.png") == 255).all()


def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path) -> None:
    deep = np.full((6, 8), 32896, np.uint16)
    Image.fromarray(deep).save(tmp_path / "grey16.png")
    assert (read_image(tmp_path / "grey16.png") == 128).all()
    assert (read_image(saved(tmp_path / "grey.png", 77, mode="L")) == 77).all()
    assert (read_image(saved(tmp_path / "bit.png", 1, mode="1")) == 255).all()
    cmyk = read_image(saved(tmp_path / "cmyk.jpg", (0, 255, 255, 0), mode="CMYK"))
    assert cmyk.shape == (6, 8, 3)
    assert np.abs(cmyk[0, 0].astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.8])
def test_truncated_image_is_refused_by_name(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"broken.{suffix}"
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    for reads in (read_image, probe_image):
        with pytest.raises(InputError, match=f"broken.{suffix}"):
            reads(path)


@settings(max_examples=60, deadline=None)
@given(suffix=st.sampled_from(["jpg", "png", "webp"]), seed=st.integers(0, 2**32 - 1))
def test_damaged_bytes_never_escape_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    for at in random.integers(0, len(content), 8):
        content[at] = random.integers(0, 256)
    path.write_bytes(bytes(content))
    refused = ""
    try:
        pixels = read_image(path)
    except InputError as error:
        refused = str(error)
    assert path.name in refused or pixels.shape[-1] == 3


def test_text_named_as_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    with pytest.raises(InputError, match=r"a\.jpg can't be read as an image"):
        read_image(tmp_path / "a.jpg")


def test_masks_are_found_beside_the_images_or_where_told(tmp_path: Path) -> None:
    images = [saved(tmp_path / "1.jpg"), saved(tmp_path / "2.jpg")]
    assert find_masks(images, None) == {}
    beside = [saved(tmp_path / "masks/1.png"), saved(tmp_path / "masks/2.png")]
    told = [saved(tmp_path / "other/1.png"), saved(tmp_path / "other/2.png")]
    assert find_masks(images, None) == dict(zip(images, beside, strict=True))
    assert find_masks(images, tmp_path / "other") == dict(zip(images, told, strict=True))


def test_half_masked_set_is_refused(tmp_path: Path) -> None:
    images = [saved(tmp_path / "1.jpg"), saved(tmp_path / "2.jpg")]
    saved(tmp_path / "masks/1.png")
    for folder in (None, tmp_path / "masks"):
        with pytest.raises(InputError, match=r"No mask for .*2\.jpg"):
            find_masks(images, folder)
    with pytest.raises(InputError, match="no folder of masks"):
        find_masks(images, tmp_path / "nowhere")


def test_two_masks_of_one_image_are_refused(tmp_path: Path) -> None:
    images = [saved(tmp_path / "1.jpg")]
    saved(tmp_path / "masks/1.png")
    saved(tmp_path / "masks/1.jpg")
    with pytest.raises(InputError, match="same image"):
        find_masks(images, None)


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


@settings(max_examples=50, deadline=None)
@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_fit_always_gives_the_size_asked_for(source: tuple[int, int], target: tuple[int, int]) -> None:
    pixels = np.full((source[1], source[0], 3), 90, np.uint8)
    fitted = fit(pixels, target)
    assert fitted.shape == (target[1], target[0], 3)
    assert (fitted == 90).all()
    assert fit_mask(np.ones(pixels.shape[:2], np.bool_), target).all()


def test_fit_crops_the_centre_and_keeps_what_fits() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    assert (fit(pixels, (6, 6)) == pixels[:, 2:8]).all()
    assert (fit(pixels, (10, 6)) == pixels).all()
    clip = np.stack([pixels, pixels[::-1]])
    assert (fit(clip, (4, 4)) == np.stack([fit(frame, (4, 4)) for frame in clip])).all()


def test_fit_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(fit(stripes, (8, 8)).astype(int) - 127).max() < 12


def test_mask_stays_on_its_subject_when_both_are_fitted() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 20:35] = True
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    apart = fit_mask(mask, (16, 16)) != (fit(image, (16, 16))[..., 0] > 127)
    assert apart.mean() < 0.1


def test_a_shifted_picture_has_moved_and_what_comes_in_is_its_reflection() -> None:
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    right, up = shifted(pixels, 2, 0), shifted(pixels, 0, -1)
    assert (right[:, 2:] == pixels[:, :3]).all()
    assert (right[:, :2] == pixels[:, 1::-1]).all()
    assert (up[:3] == pixels[1:]).all()
    assert (up[3] == pixels[3]).all()
    assert (shifted(pixels, 0, 0) == pixels).all()
    mask = np.zeros((4, 5), np.bool_)
    mask[1, 1] = True
    assert list(zip(*np.nonzero(shifted(mask, 1, 2)), strict=True)) == [(0, 2), (3, 2)]


def test_hash_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    saved(folder / "1.png")
    before = sha256_of(folder)
    (folder / "1.png").rename(folder / "2.png")
    renamed = sha256_of(folder)
    saved(folder / "2.png", "blue")
    assert len({before, renamed, sha256_of(folder)}) == 3
    (folder / "2.png").rename(folder / "1.png")
    saved(folder / "1.png")
    assert sha256_of(folder) == before


def test_hash_of_a_file_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_planning_does_not_load_torch() -> None:
    code = "import sys, engine.data.clips, engine.media.video; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(not DOG.is_dir(), reason="the real photographs are not here")
def test_real_photographs_and_their_masks() -> None:
    images = find_images([DOG])
    masks = find_masks(images, None)
    assert len(images) == len(masks) == 6
    for image in images:
        info = probe_image(image)
        mask = read_mask(masks[image], (info.width, info.height))
        assert 0.05 < mask.mean() < 0.95

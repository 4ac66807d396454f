"""Reading and fitting photographs."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from engine.data.images import (
    fit,
    probe_image,
    read_image,
    shifted,
)
from engine.errors import InputError


def saved(path: Path, colour: object = "red", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


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


def test_planning_does_not_load_torch() -> None:
    code = "import sys, engine.data.clips, engine.media.video; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def iptc_red(path: Path) -> Path:
    """A picture whose raw values (0, 255, 0) are not sRGB's green: its profile swaps red and green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    described = bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")
    Image.new("RGB", (8, 6), (0, 255, 0)).save(path, icc_profile=described)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_colours_are_turned_into_srgb_by_the_profile(tmp_path: Path, suffix: str) -> None:
    pixel = read_image(iptc_red(tmp_path / f"a.{suffix}"))[3, 3].astype(int)
    assert np.abs(pixel - [255, 0, 0]).max() < 12


def test_an_srgb_profile_and_a_broken_one_change_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, b"not a profile"):
        Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile)
        assert (read_image(tmp_path / "a.png") == pixels).all()


def test_transparency_survives_the_profile(tmp_path: Path) -> None:
    profile = Image.open(iptc_red(tmp_path / "a.png")).info["icc_profile"]
    Image.new("RGBA", (8, 6), (0, 255, 0, 0)).save(tmp_path / "clear.png", icc_profile=profile)
    assert (read_image(tmp_path / "clear.png") == 255).all()


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "avif"])
def test_of_an_animation_the_first_frame_is_used_and_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    first, *others = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime"))
    first.save(path, save_all=True, append_images=others, duration=100)
    assert "3 frames: the first" in probe_image(path).note
    assert np.abs(read_image(path)[0, 0].astype(int) - [255, 0, 0]).max() < 12
    saved(tmp_path / "still.png")
    assert probe_image(tmp_path / "still.png").note == ""


def test_a_photograph_of_a_phone_is_read(tmp_path: Path) -> None:
    pillow_heif.from_pillow(Image.new("RGB", (32, 16), (200, 30, 30))).save(tmp_path / "a.heic")
    assert (probe_image(tmp_path / "a.heic").width, probe_image(tmp_path / "a.heic").height) == (32, 16)
    assert np.abs(read_image(tmp_path / "a.heic")[0, 0].astype(int) - [200, 30, 30]).max() < 6


def test_an_image_that_would_fill_the_memory_is_refused_in_our_words(tmp_path: Path) -> None:
    header = bytearray(saved(tmp_path / "a.bmp").read_bytes())
    header[18:26] = (40_000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(bytes(header))
    with pytest.raises(InputError, match=r"a\.bmp is too large.*million pixels"):
        read_image(tmp_path / "a.bmp")


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\xff\xff\xff\xff"]
)
def test_a_broken_exif_is_passed_over_without_a_word(tmp_path: Path, exif: bytes) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.jpg", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_image(tmp_path / "a.jpg").shape == (6, 8, 3)
    assert [str(warning.message) for warning in caught] == []

"""What files are, and their hashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from engine.data.files import duplicates, kind_of, sha256_of
from engine.errors import InputError
from engine.media import ffmpeg


def saved(path: Path, colour: object = "red", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


def animated(path: Path, frames: int = 3) -> Path:
    """An animation whose neighbouring frames differ; WebP, GIF, PNG or AVIF by the suffix."""
    first, *others = (Image.new("RGB", (16, 16), (60 * number, 0, 0)) for number in range(frames))
    first.save(path, save_all=True, append_images=others, duration=120)
    return path


@pytest.mark.parametrize("suffix", ["webp", "gif", "png", "avif"])
def test_an_animation_is_told_from_a_picture_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    moving, still = animated(tmp_path / f"a.{suffix}"), saved(tmp_path / f"b.{suffix}", size=(16, 16))
    assert (kind_of(moving), kind_of(still)) == ("animation", "picture")
    assert kind_of(moving.rename(tmp_path / "a.jpg")) == "animation"
    assert kind_of(still.rename(tmp_path / "b.mp4")) == "picture"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "m2ts", "mpg", "flv", "ogv"])
def test_a_video_is_told_by_its_contents(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    ffmpeg.run(
        ["-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=0.2", *(["-c:v", "theora"] if suffix == "x" else []), str(path)]
    )
    assert kind_of(path.rename(tmp_path / "photo.jpg")) == "video"


def test_what_tells_nothing_is_taken_by_its_suffix(tmp_path: Path) -> None:
    for name, kind in (
        ("a.jpg", "picture"),
        ("a.mp4", "video"),
        ("c.TXT", "caption"),
        ("d.md", "other"),
        ("e", "other"),
    ):
        (tmp_path / name).write_bytes(b"hello")
        assert kind_of(tmp_path / name) == kind
    with pytest.raises(InputError, match="can't be read"):
        kind_of(tmp_path / "gone")


def test_files_of_the_same_contents_are_named() -> None:
    hashes = [(Path("p/a.jpg"), "1"), (Path("p/b.jpg"), "2"), (Path("p/c.jpg"), "1")]
    assert duplicates(hashes) == ["p/c.jpg has the same contents as a.jpg: it counts twice"]


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

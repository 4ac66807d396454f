"""What the files and folders that a person names stand for, and what is said of all the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.finding import find_clips, find_images, find_masks
from engine.errors import InputError
from engine.media import ffmpeg
from engine.media.video import write_video


def saved(path: Path, colour: object = "red", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


def video(path: Path) -> Path:
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=0.2", str(path)])
    return path


def sound(path: Path) -> Path:
    ffmpeg.run(["-f", "lavfi", "-i", "sine=d=0.2", str(path)])
    return path


def test_folder_gives_its_images_in_natural_order_without_sub_folders(tmp_path: Path) -> None:
    for name in ("dog10.png", "dog2.JPG", "Dog1.webp", "dog03.jpeg", "deeper/dog0.png", ".hidden.png"):
        saved(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    names = [path.name for path in find_images([tmp_path]).used]
    assert names == ["Dog1.webp", "dog2.JPG", "dog03.jpeg", "dog10.png"]


def test_files_keep_their_order_and_count_once(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a.png"), saved(tmp_path / "b.png")
    assert find_images([second, tmp_path]).used == (second, first)


def test_unusable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("no picture")
    for name in ("missing.png", "empty", "notes.md"):
        with pytest.raises(InputError, match=name):
            find_images([tmp_path / name])
    with pytest.raises(InputError, match="No images"):
        find_images([])


def test_everything_given_beside_photographs_is_used_or_named(tmp_path: Path) -> None:
    photo = saved(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("its caption")
    (tmp_path / "z.txt").write_text("of no picture")
    (tmp_path / "notes.md").write_text("no picture")
    video(tmp_path / "film.mp4")
    saved(tmp_path / "more/b.png")
    for given in ([tmp_path], [path for path in sorted(tmp_path.iterdir()) if path.is_file()]):
        found = find_images(given)
        assert found.used == (photo,)
        reasons = {entry.path.name: entry.reason for entry in found.unused}
        assert set(reasons) - {"more"} == {"z.txt", "notes.md", "film.mp4"}
        assert "video" in reasons["film.mp4"]
    assert "more" in {entry.path.name for entry in find_images([tmp_path]).unused}


def test_a_photograph_is_known_by_its_contents(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (16, 16), "red")).save(tmp_path / "phone.HEIC")
    saved(tmp_path / "b.png").rename(tmp_path / "no_suffix")
    saved(tmp_path / "c.bmp")
    assert [path.name for path in find_images([tmp_path]).used] == ["c.bmp", "no_suffix", "phone.HEIC"]


def test_masks_are_never_photographs(tmp_path: Path) -> None:
    photo, mask = saved(tmp_path / "a.jpg"), saved(tmp_path / "masks/a.png", "white", mode="L")
    other = saved(tmp_path / "cut/a.png", "white", mode="L")
    given = sorted(tmp_path.iterdir())
    assert find_images([path for path in given if path.name != "cut"]).used == (photo,)
    assert find_images([photo, mask]).used == (photo,)
    found = find_images(given, masks=tmp_path / "cut")
    assert found.used == (photo,)
    assert {entry.path for entry in found.unused} == {tmp_path / "masks", tmp_path / "cut"}
    assert find_images([photo, other], masks=tmp_path / "cut").used == (photo,)
    for alone in (tmp_path / "masks", mask):
        with pytest.raises(InputError, match="mask"):
            find_images([alone])


def test_photographs_of_masks_are_photographs(tmp_path: Path) -> None:
    photo = saved(tmp_path / "masks/venetian.jpg")
    assert find_images([tmp_path / "masks"]).used == (photo,)


def test_masks_are_found_beside_the_images_or_where_told(tmp_path: Path) -> None:
    images = [saved(tmp_path / "1.jpg"), saved(tmp_path / "2.jpg")]
    assert find_masks(images, None).used == ()
    beside = [saved(tmp_path / "masks/1.png"), saved(tmp_path / "masks/2.png")]
    told = [saved(tmp_path / "other/1.png"), saved(tmp_path / "other/2.png")]
    assert find_masks(images, None).used == tuple(beside)
    assert find_masks(images, tmp_path / "other").used == tuple(told)


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


def test_masks_of_no_image_are_named(tmp_path: Path) -> None:
    images = [saved(tmp_path / "1.jpg")]
    saved(tmp_path / "masks/1.png")
    saved(tmp_path / "masks/2.png")
    assert [entry.path.name for entry in find_masks(images, None).unused] == ["2.png"]


def test_folder_of_videos_gives_the_videos(tmp_path: Path) -> None:
    for name in ("10.mp4", "9.avi"):
        video(tmp_path / name)
    (tmp_path / "9.txt").write_text("a caption")
    assert [clip.name for clip in find_clips([tmp_path, tmp_path / "10.mp4"]).used] == ["9.avi", "10.mp4"]
    Image.new("RGB", (8, 8)).save(tmp_path / "cover.png")
    with pytest.raises(InputError, match=r"pictures .* and clips"):
        find_clips([tmp_path])


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_a_folder_of_the_animations_that_dv_writes_is_several_clips(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    for name in ("a", "b"):
        write_video(noise, tmp_path / f"{name}.{suffix}", 8, {})
    assert [path.name for path in find_clips([tmp_path]).used] == [f"a.{suffix}", f"b.{suffix}"]


def test_everything_given_beside_clips_is_used_or_named(tmp_path: Path) -> None:
    clip = video(tmp_path / "a.mp4")
    (tmp_path / "a.TXT").write_text("its caption")
    (tmp_path / "notes.md").write_text("no clip")
    sound(tmp_path / "song.mp4")
    for given in ([tmp_path], sorted(tmp_path.iterdir())):
        found = find_clips(given)
        assert found.used == (clip,)
        assert {entry.path.name: entry.reason for entry in found.unused} == {
            "song.mp4": "holds no video",
            "notes.md": "is not a video",
        }


def test_files_between_the_frames_of_a_clip_are_named(tmp_path: Path) -> None:
    for number in range(3):
        saved(tmp_path / "walk" / f"{number}.png")
    (tmp_path / "walk/notes.md").write_text("no frame")
    found = find_clips([tmp_path / "walk"])
    assert found.used == (tmp_path / "walk",)
    assert [entry.path.name for entry in found.unused] == ["notes.md"]


def test_nothing_to_find_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    for name, reason in (("empty", "neither"), ("gone.mp4", "no file"), ("one.png", "single image")):
        with pytest.raises(InputError, match=reason):
            find_clips([tmp_path / name])
    with pytest.raises(InputError, match="No clips"):
        find_clips([])


def test_who_can_not_name_what_is_unused_refuses_it(tmp_path: Path) -> None:
    clip, sheet = video(tmp_path / "a.mp4"), saved(tmp_path / "sheet.png")
    (tmp_path / "notes.md").write_text("no clip")
    assert find_clips([clip, sheet]).used == (clip,)
    with pytest.raises(InputError, match=r"sheet\.png is a single image"):
        find_clips([clip, sheet]).with_all([clip, sheet])
    sheet.unlink()
    assert find_clips([tmp_path]).with_all([tmp_path]) == (clip,)

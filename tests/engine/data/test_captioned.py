"""Which clips a data set has, and what each shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.captioned import CaptionedFile, find_captioned
from engine.errors import InputError
from engine.media.video import write_video


def video(path: Path, caption: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(np.zeros((2, 16, 16, 3), np.uint8), path, 8.0, {})
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def frames(folder: Path, caption: str) -> Path:
    folder.mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (16, 16)).save(folder / f"{number}.png")
    folder.with_name(f"{folder.name}.txt").write_text(caption)
    return folder


def test_a_folder_is_searched_to_its_end_and_a_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    first, second = video(tmp_path / "a.mp4", "a dog"), video(tmp_path / "shard10" / "b.mp4", "a cat\n")
    third = frames(tmp_path / "shard2" / "c", "a fox")
    assert find_captioned(tmp_path) == [
        CaptionedFile(first, "a dog"), CaptionedFile(third, "a fox"), CaptionedFile(second, "a cat"),
    ]  # fmt: skip


def test_a_picture_of_a_clips_name_is_a_preview_of_it_and_another_one_is_refused(tmp_path: Path) -> None:
    clip = video(tmp_path / "a.mp4", "a dog")
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    assert find_captioned(tmp_path) == [CaptionedFile(clip, "a dog")]
    Image.new("RGB", (16, 16)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"holds pictures \(b\.png\), and clips \(a\.mp4\)"):
        find_captioned(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_names_paths_from_its_own_folder(tmp_path: Path, kind: str) -> None:
    clip = video(tmp_path / "clips" / "a.mp4")
    other = video(tmp_path / "elsewhere.mp4")
    table = tmp_path / f"data.{kind}"
    rows = [{"path": "clips/a.mp4", "caption": 'a "red" dog, running'}, {"path": str(other), "caption": "a cat"}]
    if kind == "csv":
        lines = ["id, path, caption", '7,clips/a.mp4,"a ""red"" dog, running"', f"8,{other},a cat"]
        table.write_text("\n".join(lines), encoding="utf-8-sig")
    else:
        table.write_text("\n\n".join(map(json.dumps, rows)))
    assert find_captioned(table) == [CaptionedFile(clip, 'a "red" dog, running'), CaptionedFile(other, "a cat")]


def test_every_clip_needs_a_caption_and_some_of_those_without_are_named(tmp_path: Path) -> None:
    video(tmp_path / "said.mp4", "a dog")
    for number in range(5):
        video(tmp_path / "shard" / f"{number}.mp4")
    named = r"shard/0\.mp4, shard/1\.mp4, shard/2\.mp4 and 2 more"
    with pytest.raises(InputError, match=rf"5 of 6 clips .* no caption: {named}.*0\.txt"):
        find_captioned(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "file,text\na.mp4,a dog\n", "no column path and no column caption: .* says file, text"),
        ("a.csv", "path\na.mp4\n", "no column caption"),
        ("a.csv", "", "says nothing"),
        ("a.csv", "path,caption\n", "lists no clip"),
        ("a.csv", "path,caption\na.mp4\n", "Line 2 of .* has no text for caption"),
        ("a.csv", "path,caption\na.mp4,a dog\n", "Line 2 of .* names .*a.mp4, which isn't there"),
        ("a.jsonl", '{"path": "a.mp4"}', "Line 1 of .* has no caption"),
        ("a.jsonl", "\n[1]", "Line 2 of .* has no path and no caption"),
        ("a.jsonl", "{", "Line 1 of .* is not JSON"),
        ("a.jsonl", '{"path": 3, "caption": "a dog"}', "no text for path"),
        ("a.txt", "a dog", "is no data set"),
    ],
)
def test_a_table_that_lacks_something_is_refused_with_its_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        find_captioned(tmp_path / name)


def test_what_holds_no_clips_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"There is no clip in .*empty"):
        find_captioned(tmp_path / "empty")
    with pytest.raises(InputError, match="There is no file or folder"):
        find_captioned(tmp_path / "nowhere")
    with pytest.raises(InputError, match="one clip, not many"):
        find_captioned(frames(tmp_path / "frames", "a dog"))

"""What a suite's folder keeps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dreamvideo_cli.jobs.suite.folder import references_of
from dreamvideo_cli.jobs.suite.plans import PlannedCell
from engine.data.clips import probe_clip
from engine.evaluation.expected import Expected, ReferenceClip
from engine.evaluation.suites.results import Cell
from engine.methods.dreamvideo import ComposeConfig
from tests.rendering import MATERIAL


def test_references_are_kept_as_a_browser_plays_them_and_follow_their_files(tmp_path: Path) -> None:
    photo, clip = tmp_path / "a.PNG", MATERIAL / "zigzag" / "1-dog.mp4"
    shutil.copyfile(MATERIAL / "rex" / "1.png", photo)
    expected = Expected("a dog", (photo,), (ReferenceClip(clip), ReferenceClip(clip, end=0.5)))
    task = PlannedCell(
        Cell("lora", "fox", "zigzag", "a *", 0), "a *", {}, ComposeConfig(), expected, {}, {}, "", None, [], False, ()
    )
    pictures, clips = references_of(tmp_path, task)
    (before,) = pictures
    assert [Path(path).parent for path in (*pictures, *clips)] == [
        Path("references/fox"),
        *[Path("references/zigzag")] * 2,
    ]
    assert (tmp_path / clips[0]).read_bytes() == clip.read_bytes()
    assert (probe_clip(tmp_path / clips[0]).frames, probe_clip(tmp_path / clips[1]).frames) == (8, 4)
    shutil.copyfile(MATERIAL / "rex" / "2.png", photo)
    os.utime(photo, (0, 0))  # A photo may be older than the copy of another that had its name.
    pictures, again = references_of(tmp_path, task)
    assert (tmp_path / pictures[0]).read_bytes() == photo.read_bytes()
    assert (tmp_path / before).read_bytes() == (MATERIAL / "rex" / "1.png").read_bytes() and again == clips


def test_a_folder_of_frames_is_kept_anew_where_a_frame_or_the_part_that_is_used_is_another(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (1, 2, 3):
        shutil.copyfile(MATERIAL / "rex" / f"{number}.png", frames / f"{number}.png")

    def kept(**part: float) -> bytes:
        expected = Expected("a dog", (), (ReferenceClip(frames, source_fps=4, **part),))
        task = PlannedCell(
            Cell("lora", None, "zigzag", "a", 0), "a", {}, ComposeConfig(), expected, {}, {}, "", None, [], False, ()
        )
        return (tmp_path / references_of(tmp_path, task)[1][0]).read_bytes()

    first, shorter = kept(), kept(end=0.5)
    shutil.copyfile(frames / "1.png", frames / "3.png")
    assert len({first, shorter, kept()}) == 3

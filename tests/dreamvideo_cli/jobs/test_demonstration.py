"""What the demo draws, and what it says of how well it went."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamvideo_cli.jobs.demonstration import (
    DemoBase,
    DemoFiles,
    Demonstration,
    base_of_world,
    drawn,
    files_in,
    measured,
    write_material,
    write_sheets,
)
from engine.bases.location import EMBEDDED
from engine.data.clips import probe_clip, read_clip
from engine.errors import BaseError
from engine.media.metadata import read_metadata
from engine.media.pictures import frames_in
from engine.media.video import write_video
from engine.world import motions, pictures
from engine.world.individuals import individual
from engine.world.material import FPS


@pytest.fixture(scope="module")
def shown() -> Demonstration:
    return drawn(1)


@pytest.fixture(scope="module")
def files(shown: Demonstration, tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    """A demo whose bare base shows another of the class, standing still, and whose result is what was asked for."""
    files = files_in(tmp_path_factory.mktemp("demo"), shown)
    write_material(shown, files, pictures.FRAMES)
    other = individual(shown.class_word, 99)
    for path, one, motion in ((files.bare, other, "still"), (files.result, shown.one, shown.motion)):
        frames = pictures.clip(one, motion, 3, scene=shown.scene).frames
        write_video(frames, path, FPS, {"prompt": shown.prompt})
    return files


def test_every_number_is_another_demo_and_always_the_same() -> None:
    demos = [drawn(seed) for seed in range(12)]
    assert len({demo.one for demo in demos}) == len(demos)
    assert len({(demo.class_word, demo.motion, demo.scene) for demo in demos}) > 6
    assert drawn(7) == demos[7]


def test_the_base_saw_neither_the_motion_nor_the_subject_s_class_in_it(shown: Demonstration) -> None:
    assert shown.motion in motions.HELD_OUT
    assert shown.class_word not in {one.class_word for one in shown.others}


def test_the_bare_prompt_says_what_words_can(shown: Demonstration) -> None:
    assert shown.bare_prompt.endswith(f" {shown.class_word} {shown.doing} {shown.place}")
    assert shown.prompt == f"a * {shown.doing} {shown.place}"


def test_a_demo_takes_another_base_of_the_world_and_none_of_another_size(home: Path) -> None:
    assert base_of_world("embedded") == DemoBase(pictures.FRAMES)
    assert not home.exists()  # It asks no registry of yours.
    for name, table in (("ours", {"size": [pictures.SIZE] * 2, "frames": 9}), ("large", {"size": [512, 512]})):
        shutil.copytree(EMBEDDED.model, home.parent / name, copy_function=os.symlink)
        (home.parent / name / "recommended.json").unlink()
        (home.parent / name / "recommended.json").write_text(json.dumps({"compose": table}), encoding="utf-8")
    assert base_of_world("ours") == DemoBase(9, ("--base", str(home.parent / "ours")))
    with pytest.raises(BaseError, match="the base large doesn't know"):
        base_of_world("large")


def test_clips_have_the_frames_that_a_base_wants(shown: Demonstration, tmp_path: Path) -> None:
    files = files_in(tmp_path, shown)
    write_material(shown, files, 9)
    assert {len(read_clip(probe_clip(path))) for path in files.clips.glob("*.mp4")} == {9}


def test_material_of_another_number_goes(shown: Demonstration, tmp_path: Path) -> None:
    files = files_in(tmp_path, shown)
    write_material(replace(shown, others=tuple(individual("robot", seed) for seed in range(3))), files, pictures.FRAMES)
    write_material(shown, files, pictures.FRAMES)
    assert len(list(files.photographs.glob("*.png"))) == 5
    assert {path.stem.split("-")[1] for path in files.clips.glob("*.mp4")} == {one.class_word for one in shown.others}


def test_figures_tell_the_individual_and_its_motion_from_another_standing_still(
    shown: Demonstration, files: DemoFiles
) -> None:
    rows = {row["metric"]: row for row in measured(shown, files)}
    assert rows["rank"]["result"] == 1 < rows["rank"]["bare"]
    assert rows["colour"]["bare"] < rows["colour"]["result"]
    assert rows["motion"]["result"] > 0.9 > rows["motion"]["bare"]


def test_sheets_show_all_side_by_side_and_tell_how_the_result_was_made(shown: Demonstration, files: DemoFiles) -> None:
    write_sheets(shown, files)
    for path in (files.sheet, files.moving):
        assert read_metadata(path)["prompt"] == shown.prompt
    with Image.open(files.moving) as moving:
        assert frames_in(files.moving) == pictures.FRAMES
        first = np.asarray(moving.convert("RGB")).copy()
        moving.seek(pictures.FRAMES // 2)
        assert np.abs(np.asarray(moving.convert("RGB")).astype(int) - first).max() > 50

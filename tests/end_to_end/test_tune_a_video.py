"""Tune-A-Video by hand and in a suite: an image model added, a motion learnt on it, videos and their figures."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path

import pytest

from engine.bases.location import EMBEDDED
from engine.evaluation.suites.results import read_results
from tests.end_to_end.conftest import Dv
from tests.end_to_end.test_animatediff import OF_INDIVIDUALS, SUITE
from tests.engine.bases.tiny_animatediff import write_image_model
from tests.engine.conftest import write_base
from tests.rendering import MATERIAL

ALONE = """[
    { name = "tune-a-video, motion alone", motion = "tune-a-video" },
    { name = "dreamvideo, motion alone", motion = "dreamvideo" },
]"""
LEARN = ["--size", "16", "--frames", "4", "--steps", "2"]
COMPOSE = ["--frames", "4", "--steps", "2"]


@pytest.fixture
def image_model(dv: Dv, tmp_path: Path) -> Path:
    """Added as the base sd."""
    write_base(tmp_path / "unet3d")
    write_image_model(tmp_path / "sd15", tmp_path / "unet3d")
    dv("base", "add", "sd", tmp_path / "sd15")
    return tmp_path / "sd15"


def test_a_motion_is_learnt_and_a_video_starts_from_its_clip(dv: Dv, image_model: Path) -> None:
    assert json.loads(dv("base", "show", "sd", "--json").out)["family"] == "stable_diffusion"
    clip = next(path for path in sorted((MATERIAL / "zigzag").iterdir()) if path.suffix == ".mp4")
    learnt = ["motion", "learn", "zig", clip, "--prompt", "a dog runs", "--base", "sd", *LEARN]
    dv(*learnt, "--method", "tune-a-video")
    shown = json.loads(dv("show", "zig", "--json").out)
    assert shown["method"] == "tune-a-video"
    made = json.loads(dv("compose", "a dog runs", "--motion", "zig", *COMPOSE, "--output", "a.mp4", "--json").out)
    record = made[0]["record"]
    assert record["start"] == {"from": "motion", "index": 0}
    assert (record["settings"]["guidance_scale"], record["settings"]["size"]) == (12.5, [16, 16])
    done = dv("compose", "a dog runs", "--motion", "zig", "--size", "32", "--frames", "4", check=2)
    assert "learnt with at 16x16: leave --size out" in done.err


def test_a_method_for_it_is_refused_on_other_bases(dv: Dv) -> None:
    clips = ["motion", "learn", "zig", MATERIAL / "zigzag", "--method", "tune-a-video"]
    assert "is for bases of the family stable_diffusion" in dv(*clips, check=2).err


def test_it_stands_beside_dreamvideo_in_a_suite(dv: Dv, image_model: Path, tmp_path: Path) -> None:
    written = SUITE.replace("MATERIAL", str(MATERIAL)).replace("JUDGES", str(Path(EMBEDDED.model) / "judges"))
    written = written.replace('base = "ad"', 'base = "sd"').replace('["dreamvideo", "animatediff"]', ALONE)
    elsewhere = written.replace("[compose_options]\nsize = [16, 16]", "[compose_options]\nsize = [32, 32]")
    (tmp_path / "elsewhere.toml").write_text(elsewhere, encoding="utf-8")
    refused = dv("suite", "run", "elsewhere.toml", "--dry-run", check=2).err
    assert refused.count("tune-a-video, motion alone: the motion starts from its clips") == 1
    (tmp_path / "trial.toml").write_text(written, encoding="utf-8")
    dv("suite", "run", "trial.toml")
    results = {result.cell.method: result for result in read_results(tmp_path / "trial")}
    assert {name.partition(",")[0] for name in results} == {"dreamvideo", "tune-a-video"}
    for name, result in results.items():
        assert {kind: part.method for kind, part in result.parts.items()} == {"motion": name.partition(",")[0]}
        known = {name: value for name, value in result.scores.items() if name not in OF_INDIVIDUALS}
        assert known and all(value is not None and isfinite(value) for value in known.values())
        assert (tmp_path / "trial" / str(result.video)).is_file()

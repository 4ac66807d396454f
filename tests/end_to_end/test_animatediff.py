"""AnimateDiff by hand and in a suite: a base added in two parts, what is learnt on it, videos and their figures."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path

import pytest

from engine.bases.location import EMBEDDED
from engine.evaluation.suites.results import read_results
from tests.end_to_end.conftest import Dv
from tests.engine.bases.tiny_animatediff import POSITIONS, write_image_model, write_motion_module
from tests.engine.conftest import write_base
from tests.rendering import MATERIAL

OF_INDIVIDUALS = ("top1", "sibling_top1", "rank", "colour_likeness")
"""Metrics of the embedded base's own individuals alone."""
SUITE = """
base = "ad"
prompts = ["a * {motion}"]
methods = ["dreamvideo", "animatediff"]
[judges]
clip = "JUDGES/clip"
dino = "JUDGES/dino"
[subject_options]
size = [16, 16]
batch_size = 1
token_steps = 2
adapter_steps = 2
steps = 2
[motion_options]
size = [16, 16]
frames = 4
batch_size = 1
steps = 2
[compose_options]
size = [16, 16]
frames = 4
steps = 2
[[subjects]]
name = "fox"
class = "dog"
images = "MATERIAL/rex"
[[motions]]
name = "zigzag"
doing = "zigzagging"
clips = "MATERIAL/zigzag"
"""


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    """An image model and a motion module."""
    image_model, module = tmp_path / "sd15", tmp_path / "module"
    write_base(tmp_path / "unet3d")
    write_image_model(image_model, tmp_path / "unet3d")
    write_motion_module(module)
    return image_model, module


def test_a_base_in_two_parts_is_added_and_shown(dv: Dv, parts: tuple[Path, Path]) -> None:
    image_model, module = parts
    dv("base", "add", "ad", image_model, "--motion-module", module)
    shown = json.loads(dv("base", "show", "ad", "--json").out)
    assert (shown["family"], shown["motion_module"]) == ("animatediff", str(module))
    assert shown["components"]["motion_module"] > 0
    assert dv("compose", "a dog", "--base", "ad", "--frames", str(POSITIONS + 1), check=2).err.count("at most") == 1


def test_its_baseline_and_dreamvideo_are_learnt_composed_and_measured(
    dv: Dv, parts: tuple[Path, Path], tmp_path: Path
) -> None:
    image_model, module = parts
    dv("base", "add", "ad", image_model, "--motion-module", module)
    written = SUITE.replace("MATERIAL", str(MATERIAL)).replace("JUDGES", str(Path(EMBEDDED.model) / "judges"))
    (tmp_path / "trial.toml").write_text(written, encoding="utf-8")
    dv("suite", "run", "trial.toml")
    results = {result.cell.method: result for result in read_results(tmp_path / "trial")}
    assert results.keys() == {"dreamvideo", "animatediff"}
    for name, result in results.items():
        assert {kind: part.method for kind, part in result.parts.items()} == {"subject": name, "motion": name}
        known = {name: value for name, value in result.scores.items() if name not in OF_INDIVIDUALS}
        assert known and all(value is not None and isfinite(value) for value in known.values())
        assert (tmp_path / "trial" / str(result.video)).is_file()
    assert results["animatediff"].scores.keys() == results["dreamvideo"].scores.keys()
    page = Path(dv("report", "trial").out.strip())
    assert "AnimateDiff" in (tmp_path / page).read_text(encoding="utf-8")

"""How much fine-tuning changes which layers, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Dv
from tests.engine.conftest import write_base
from tests.rendering import MATERIAL

SMALL = ["--steps", "2", "--size", "16", "--batch-size", "1"]


@pytest.fixture
def base(tmp_path: Path) -> list[str]:
    write_base(tmp_path / "base")
    return ["--base", str(tmp_path / "base")]


def test_each_kind_of_layer_has_its_mean_change(dv: Dv, base: list[str]) -> None:
    sources = ["--spatial", MATERIAL / "rex", "--class", "dog", "--temporal", MATERIAL / "zigzag"]
    rows = json.loads(dv("analyze", "weights", *sources, *base, *SMALL, "--frames", "3", "--json").out)
    kinds = {(row["parameters"], row["kind"]) for row in rows}
    assert kinds == {("spatial", kind) for kind in ("cross_attention", "self_attention", "feed_forward", "other")} | {
        ("temporal", kind) for kind in ("self_attention", "feed_forward", "other")
    }
    assert all(0 < row["least"] <= row["mean"] <= row["most"] for row in rows)
    assert dv("list", "--names").out == ""


def test_what_can_not_be_done_is_said_before_the_work(dv: Dv, base: list[str], tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    photographs = ["--spatial", MATERIAL / "rex", "--class", "dog"]
    for arguments, message in (
        ([], "give photographs with --spatial"),
        (["--spatial", MATERIAL / "rex"], "give the word for what the subject is"),
        ([*photographs, "--plot", "a.pdf"], "must end with .png or .svg"),
        ([*photographs, "--plot", tmp_path / "there.png"], "is there already"),
        ([*photographs, "--frames", "3"], "--frames is read with clips only"),
        (["--temporal", MATERIAL / "zigzag", "--class", "dog"], "--class is read with photographs only"),
    ):
        assert message in dv("analyze", "weights", *arguments, *base, check=2).err

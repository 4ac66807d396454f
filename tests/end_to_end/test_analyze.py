"""How much fine-tuning changes which layers, through the command."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.weight_change_plot import check_drawing, draw
from engine.weight_changes import KindChange
from tests.end_to_end.conftest import MATERIAL, Dv
from tests.engine.conftest import write_base

SMALL = ["--steps", "2", "--size", "16", "--batch-size", "1"]


@pytest.fixture
def base(tmp_path: Path) -> list[str]:
    write_base(tmp_path / "base")
    return ["--base", str(tmp_path / "base")]


def test_each_kind_of_layer_has_its_mean_change(dv: Dv, base: list[str]) -> None:
    sources = ["--spatial", MATERIAL / "fox", "--class", "dog", "--temporal", MATERIAL / "zigzag"]
    rows = json.loads(dv("analyze", "weights", *sources, *base, *SMALL, "--frames", "3", "--json").out)
    kinds = {(row["parameters"], row["kind"]) for row in rows}
    assert kinds == {("spatial", kind) for kind in ("cross_attention", "self_attention", "feed_forward", "other")} | {
        ("temporal", kind) for kind in ("self_attention", "feed_forward", "other")
    }
    assert all(0 < row["least"] <= row["mean"] <= row["most"] for row in rows)
    assert dv("list", "--names").out == ""


def test_what_can_not_be_done_is_said_before_the_work(dv: Dv, base: list[str], tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    for arguments, message in (
        ([], "give photographs with --spatial"),
        (["--spatial", MATERIAL / "fox"], "give the word for what the subject is"),
        (["--spatial", MATERIAL / "fox", "--class", "dog", "--plot", "a.pdf"], "must end with .png or .svg"),
    ):
        assert message in dv("analyze", "weights", *arguments, *base, check=2).err


def test_without_matplotlib_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.weight_change_plot.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'dreamvideo-cli\[plots\]'"):
        check_drawing(Path("a.png"))


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="an extra that isn't installed here")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_it_is_drawn_and_equal_changes_have_equal_bytes(tmp_path: Path, suffix: str) -> None:
    changes = {
        "spatial": [KindChange("cross_attention", 0.2, 0.1, 0.4, 3), KindChange("other", 0.1, 0.0, 0.2, 2)],
        "temporal": [KindChange("self_attention", 0.1, 0.1, 0.1, 1)],
    }
    files = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for file in files:
        draw(changes, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    start = b"\x89PNG" if suffix == "png" else b"<?xml"
    assert files[0].read_bytes().startswith(start)
    if suffix == "svg":
        assert "cross-attention" in files[0].read_text(encoding="utf-8")
    assert "matplotlib.pyplot" not in sys.modules

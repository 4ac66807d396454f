"""`dv base tune`: another base, whole or not at all, that knows where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.media.video import write_video
from registry import Registry
from tests.dreamvideo_cli.conftest import Dv
from tests.engine.conftest import write_base

SMALL = [
    "--size",
    "16",
    "--frames",
    "4",
    "--batch-size",
    "1",
    "--steps",
    "2",
    "--learning-rate",
    "0.01",
    "--device",
    "cpu",
]


@pytest.fixture
def parent(dv: Dv, tmp_path: Path) -> str:
    write_base(tmp_path / "parent")
    assert dv("base", "add", "parent", tmp_path / "parent").code == 0
    return "parent"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw = np.random.default_rng(3)
    for number in range(2):
        clip = tmp_path / "data" / f"{number}.mp4"
        clip.parent.mkdir(exist_ok=True)
        write_video(draw.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8), clip, 8.0, {})
        clip.with_suffix(".txt").write_text(f"clip {number}")
    return tmp_path / "data"


def test_a_tuned_base_knows_its_parent_and_takes_no_adapter_of_it(
    dv: Dv, parent: str, data: Path, tmp_path: Path, home: Path
) -> None:
    learnt = dv("motion", "learn", "wave", data, "--base", parent, "--method", "lora", *SMALL)
    assert learnt.code == 0, learnt.err
    planned = json.loads(dv("base", "tune", "child", data, "--base", parent, *SMALL, "--dry-run", "--json").out)
    assert (planned["data"]["clips"], planned["settings"]["steps"]["value"]) == (2, 2)
    assert dv("base", "list", "--names").out.split() == ["embedded", "parent"]
    made = dv("base", "tune", "child", data, "--base", parent, *SMALL)
    assert made.code == 0, made.err
    assert made.out == "child\n"
    told = json.loads(dv("base", "show", "child", "--json").out)
    fingerprint = json.loads(dv("base", "show", parent, "--json").out)["fingerprint"]
    assert told["lineage"]["parent"] == {"name": "parent", "fingerprint": fingerprint}
    assert told["lineage"]["data"] == planned["data"]
    assert told["fingerprint"] != fingerprint
    assert Path(told["model"]).is_relative_to(home)
    assert "parent" in dv("base", "show", "child").out
    rows = {row["name"]: row["tuned_from"] for row in json.loads(dv("base", "list", "--json").out)}
    assert rows == {"embedded": None, "parent": None, "child": "parent"}
    small = ["--size", "16", "--frames", "4", "--steps", "1", "--device", "cpu", "-o", tmp_path / "out.mp4"]
    refused = dv("compose", "a dog", "--motion", "wave", "--base", "child", *small)
    assert refused.code == 2
    assert "was made for the base parent" in refused.err
    assert dv("compose", "a dog", "--base", "child", *small).code == 0
    (run,) = [run for run in json.loads(dv("runs", "--json").out) if run["kind"] == "base"]
    assert (run["state"], run["adapter"]) == ("finished", "child")
    shown = " ".join(dv("runs", "show", "child").out.split())
    assert "Base child" in shown and "tuning 2 steps" in shown and f"Curve {told['model']}" in shown
    assert "stay in" in dv("base", "rm", "child").err
    assert "Curve" not in dv("runs", "show", "child").out
    assert Path(told["model"]).is_dir()


def test_a_run_that_is_stopped_adds_nothing_and_is_gone_on_with(
    dv: Dv, parent: str, data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("engine.tuning.training.write_base_like", stopped)
        assert dv("base", "tune", "child", data, "--base", parent, *SMALL).code == 130
    with Registry.open() as registry:
        assert [base.name for base in registry.bases()] == ["parent"]
    assert not [file for file in (home / "bases").rglob("*") if file.is_file()]
    assert "tuning 2 steps" in " ".join(dv("runs", "show", "child").out.split())
    again = dv("base", "tune", "child", data, "--base", parent, *SMALL)
    assert again.code == 2
    assert "dv base tune child --resume" in again.err
    assert "tunes a base, not a motion" in dv("motion", "learn", "child", data).err
    assert dv("runs", "resume", "child").code == 0
    with Registry.open() as registry:
        assert registry.base("child").lineage is not None


def test_what_can_not_be_used_is_refused_before_anything_is_written(
    dv: Dv, parent: str, data: Path, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "a.mp4").write_bytes((data / "0.mp4").read_bytes())
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("file,text\na,b\n")
    for name, source, message in (
        (parent, data, "a base named 'parent' already"),
        ("embedded", data, "brings along"),
        ("child", tmp_path / "bare", "no caption"),
        ("child", tmp_path / "empty", "no clip"),
        ("child", tmp_path / "table.csv", "no column path"),
    ):
        done = dv("base", "tune", name, source, "--base", parent, *SMALL)
        assert (done.code, message in done.err) == (2, True), done.err
    assert "dv base tune child clips/" in dv("base", "tune", "child").err
    assert dv("base", "tune", "child", data, "--base", parent, *SMALL, "--dtype", "fp8").code == 2
    assert not (home / "bases").exists() and not list((home / "runs").glob("[!.]*"))

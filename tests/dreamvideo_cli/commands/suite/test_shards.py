"""`dv suite run --shard`: a suite in parts, each by a process of its own, and one whole of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.python import run_suite
from engine.evaluation.suites.results import read_results
from registry import Registry
from tests.dreamvideo_cli.commands.suite.sample import BARE, TOKEN, Write, learnt


def test_after_all_shards_the_whole_run_makes_nothing(dv: Any, write: Write, tmp_path: Path) -> None:
    file, trial = write(TOKEN, BARE, seeds="[0, 1]"), tmp_path / "trial"
    cost = json.loads(dv("suite", "run", file, "--shard", "1/2", "--dry-run", "--json").out)
    assert (cost["cells"], cost["videos_to_make"]) == (2, 2)
    assert not trial.exists()
    first = dv("suite", "run", file, "--shard", "1/2")
    assert first.code == 0, first.err
    assert "shard 1/2: 2 cells of these" in first.err and "2 made, 0 kept, 0 failed" in first.err
    own = {result.cell for result in read_results(trial)}
    assert json.loads(dv("suite", "status", "trial", "--json").out)["missing"] == 2
    assert "0 made, 2 kept" in dv("suite", "run", file, "--shard", "1/2").err
    assert "2 made, 0 kept" in dv("suite", "run", file, "--shard", "2/2").err
    assert own < {result.cell for result in read_results(trial)}
    with Registry.open() as registry:
        assert [(suite.size, suite.made) for suite in registry.suites.all()] == [(4, 4)]

    videos = {path: path.stat().st_mtime_ns for path in trial.rglob("*.mp4")}
    whole = dv("suite", "run", file)
    assert (whole.code, "0 adapters to learn" in whole.err, "0 made, 4 kept, 0 failed" in whole.err) == (0, True, True)
    assert {path: path.stat().st_mtime_ns for path in trial.rglob("*.mp4")} == videos
    assert sorted(path.name for path in trial.glob("results*")) == ["results.jsonl"]
    assert len((trial / "results.jsonl").read_bytes().splitlines()) == 4
    assert len((trial / "cells.csv").read_text(encoding="utf-8").splitlines()) == 5
    assert learnt() == ["trial-fox-textual-inversion@1"]


def test_folders_of_shards_that_share_nothing_are_copied_together(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write(BARE, seeds="[0, 1, 2]")
    for number in (1, 2):
        assert dv("suite", "run", file, "--shard", f"{number}/2", "--folder", f"part {number}", "--quiet").code == 0
        shutil.copytree(tmp_path / f"part {number}", tmp_path / "trial", dirs_exist_ok=True)
    assert "0 made, 3 kept, 0 failed" in dv("suite", "run", file).err


def test_what_another_process_learns_is_waited_for_and_not_learnt_again(
    dv: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(TOKEN, BARE)
    with Registry.open() as registry:
        claim = registry.runs.claim("trial-fox-textual-inversion")
    made_before: list[str] = []

    def other_process_goes_on(_seconds: float) -> None:
        made_before.extend(result.cell.method for result in read_results(tmp_path / "trial"))
        claim.release()
        run_suite(Path(file), tmp_path / "other")

    monkeypatch.setattr("dreamvideo_cli.jobs.suite.running.time.sleep", other_process_goes_on)
    claim.acquire()
    done = dv("suite", "run", file)
    assert done.code == 0, done.err
    assert "waiting for what other processes learn: trial-fox-textual-inversion" in " ".join(done.err.split())
    assert made_before == ["bare"]
    assert learnt() == ["trial-fox-textual-inversion@1"]
    assert {result.state for result in read_results(tmp_path / "trial")} == {"made"}


def test_shards_at_once_learn_an_adapter_once(dv: Any, start: Any, write: Write, tmp_path: Path) -> None:
    file = write(TOKEN, seeds="[0, 1]")
    shards = [start("suite", "run", file, "--shard", f"{number}/2", "--quiet") for number in (1, 2)]
    for shard in shards:
        _, err = shard.communicate(timeout=300)
        assert shard.returncode == 0, err
    assert learnt() == ["trial-fox-textual-inversion@1"]
    assert "0 made, 2 kept, 0 failed" in dv("suite", "run", file).err


def test_ctrl_c_in_a_shard_tells_the_shards_command(dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    file = write(BARE)
    monkeypatch.setattr("engine.composing.compose", interrupted)
    done = dv("suite", "run", file, "--shard", "1/1")
    assert (done.code, "dv suite run trial.toml --folder trial --shard 1/1" in done.err) == (130, True)


@pytest.mark.parametrize("shard", ["0/4", "5/4", "x"])
def test_a_wrong_shard_is_refused(dv: Any, write: Write, tmp_path: Path, shard: str) -> None:
    done = dv("suite", "run", write(BARE), "--shard", shard)
    assert (done.code, done.out) == (2, "")
    assert f"--shard {shard} is no part of a suite: give NUMBER/OF" in " ".join(done.err.split())
    assert not (tmp_path / "trial").exists()

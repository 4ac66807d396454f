"""A video made again from its own file, and a run that is stopped from elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from tests.end_to_end.conftest import Dv, command_line
from tests.rendering import MATERIAL


def test_a_video_is_made_again_from_its_file(dv: Dv, tmp_path: Path) -> None:
    learn = ("subject", "learn", "fox", MATERIAL / "rex", "--class", "dog")
    dv(*learn, "--token-steps", "1", "--adapter-steps", "1")
    dv("compose", "a fox runs", "--subject", "fox", "--seed", "5", "--steps", "2", "--size", "32x64", "-o", "one.mp4")
    assert dv("compose", "--from", "one.mp4", "-o", "two.mp4").out == "two.mp4\n"
    assert (tmp_path / "two.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()

    # By hash, whatever the name is now; what is given besides is changed.
    dv("rename", "fox", "rex")
    dv("compose", "--from", "one.mp4", "--steps", "1", "-o", "three.gif")
    made = json.loads(dv("history", "--adapter", "rex", "--json").out)
    assert [(Path(row["path"]).name, row["seed"], row["subject"]) for row in made] == [
        ("one.mp4", 5, "fox@1"),
        ("two.mp4", 5, "fox@1"),
        ("three.gif", 5, "rex@1"),
    ]
    assert [row["record"]["settings"]["steps"] for row in made] == [2, 2, 1]
    dv("rm", "rex@1", "--yes")
    assert "isn't here under any name" in dv("compose", "--from", "one.mp4", check=2).err


def test_a_run_is_stopped_from_elsewhere_and_never_pruned_while_it_works(dv: Dv, home: Path) -> None:
    learn = ("subject", "learn", "fox", str(MATERIAL / "rex"), "--class", "dog", "--snapshot-every", "1")
    process = subprocess.Popen(
        command_line(*learn, "--token-steps", "100000"),
        env={**os.environ, "DV_HOME": str(home)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 200
        while not (home / "runs" / "fox" / "token.snapshot").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        assert json.loads(dv("prune", "--snapshots", "--dry-run", "--json").out)["items"] == []
        dv("runs", "stop", "fox")
        assert process.wait(timeout=240) == 130
    finally:
        process.kill()
    (run,) = json.loads(dv("runs", "--json").out)
    assert (run["state"], run["hint"]) == ("interrupted", "dv runs resume fox")
    freed = json.loads(dv("prune", "--snapshots", "--yes", "--json").out)
    assert [item["id"] for item in freed["items"]] == ["fox"]
    assert not (home / "runs" / "fox").exists()

"""The main job as a person does it: learn a subject, learn a motion, compose, ask how it was made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Dv, command_line
from tests.rendering import MATERIAL

SHORT = ("--token-steps", "3", "--adapter-steps", "3")
FAST = ("--steps", "2", "--guidance-scale", "1")


@pytest.fixture
def learnt(dv: Dv) -> None:
    """A subject and a motion of a few steps."""
    assert dv("subject", "learn", "fox", MATERIAL / "rex", "--class", "dog", *SHORT).out == "fox@1\n"
    assert dv("motion", "learn", "zigzag", MATERIAL / "zigzag", "--steps", "2").out == "zigzag@1\n"


@pytest.mark.usefixtures("learnt")
def test_subject_and_motion_meet_in_a_file_that_tells_how_it_was_made(dv: Dv, process: Dv, tmp_path: Path) -> None:
    compose = ("compose", "a fox zigzagging", "--subject", "fox", "--motion", "zigzag", "--seed", "5", *FAST)
    assert process(*compose, "-o", "one.mp4").out == "one.mp4\n"
    record = json.loads(dv("inspect", "one.mp4", "--json").out)
    assert record["prompt"] == "a * zigzagging"
    assert record["seed"] == 5
    assert record["base"]["name"] == "embedded"
    assert record["appearance"]["from"] == "subject"
    shown = json.loads(dv("show", "fox", "--json").out)
    subject, motion = record["adapters"]
    assert (subject["role"], subject["name"], subject["sha256"]) == ("subject", "fox@1", shown["file_hash"])
    assert (motion["role"], motion["name"], motion["strength"]) == ("motion", "zigzag@1", 1.0)
    text = json.dumps(record)
    assert str(tmp_path) not in text

    # The same seed gives the same bytes in another process, alone or among several.
    dv(*compose, "-o", "again.mp4")
    dv(*compose[:-6], "--seed", "4", *FAST, "--count", "2", "-o", "many.mp4")
    one = (tmp_path / "one.mp4").read_bytes()
    assert (tmp_path / "again.mp4").read_bytes() == one
    assert (tmp_path / "many-5.mp4").read_bytes() == one
    assert (tmp_path / "many-4.mp4").read_bytes() != one


@pytest.mark.usefixtures("learnt")
def test_versions_lists_and_removal(dv: Dv, home: Path) -> None:
    assert dv("subject", "learn", "fox", MATERIAL / "rex", "--class", "dog", *SHORT).out == "fox@2\n"
    first, second = (home / "adapters" / "fox" / version for version in ("1", "2"))
    for name in ("adapter.safetensors", "learned_embeds.safetensors", "image_embeddings.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert dv("list", "--names").out.split() == ["fox@1", "zigzag@1", "fox@2"]
    assert dv("rm", "fox@2", "--yes").code == 0
    assert dv("list", "--names", "--kind", "subject").out.split() == ["fox@1"]
    assert dv("subject", "learn", "fox", MATERIAL / "rex", "--class", "dog", *SHORT).out == "fox@3\n"


def test_a_killed_run_resumes_to_the_same_bytes(dv: Dv, home: Path) -> None:
    settings = ("--token-steps", "4", "--adapter-steps", "40", "--snapshot-every", "2")
    learn = ("subject", "learn", "fox", str(MATERIAL / "rex"), "--class", "dog", *settings)
    killed = subprocess.Popen(
        command_line(*learn),
        env={**os.environ, "DV_HOME": str(home)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    snapshot = home / "runs" / "fox" / "identity.snapshot"
    deadline = time.monotonic() + 200
    while not snapshot.exists() and time.monotonic() < deadline and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "the run ended before it could be killed"

    assert dv("list", "--names").out == ""
    refused = dv(*learn, check=2)
    assert "--resume" in refused.err
    assert dv("subject", "learn", "fox", "--resume").out == "fox@1\n"
    assert not (home / "runs" / "fox").exists()
    assert dv("subject", "learn", "whole", *learn[3:]).out == "whole@1\n"
    for name in ("adapter.safetensors", "learned_embeds.safetensors"):
        resumed, whole = (home / "adapters" / subject / "1" / name for subject in ("fox", "whole"))
        assert resumed.read_bytes() == whole.read_bytes()


def test_ctrl_c_says_how_to_go_on(dv: Dv, home: Path) -> None:
    process = subprocess.Popen(
        command_line(
            "subject", "learn", "fox", MATERIAL / "rex", "--class", "dog", "--token-steps", "100000",
            "--snapshot-every", "1",
        ),
        env={**os.environ, "DV_HOME": str(home)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    snapshot = home / "runs" / "fox" / "token.snapshot"
    deadline = time.monotonic() + 200
    while not snapshot.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert out == ""
    assert "dv subject learn fox --resume" in err
    assert "Traceback" not in err
    assert dv("list", "--names").out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("subject", "learn", "x", "--class", "dog"), "no images"),
        (("subject", "learn", "x", "empty", "--class", "dog"), "empty"),
        (("subject", "learn", "x", "corrupt.png", "--class", "dog"), "corrupt.png"),
        (("subject", "learn", "a/b", "corrupt.png", "--class", "dog"), "a/b"),
        (("subject", "learn", "..", "corrupt.png", "--class", "dog"), ".."),
        (("motion", "learn", "x", "text.mp4", "--prompt", "p"), "text.mp4"),
        (("motion", "learn", "x", MATERIAL / "rex" / "1.png", "--prompt", "p"), "1.png"),
        (("compose", "a dog", "-o", "out.avi"), ".avi"),
        (("compose", "a dog", "-o", "nowhere/out.mp4"), "nowhere"),
        (("compose", "a dog", "--subject", "nobody"), "nobody"),
        (("compose", "a *",), "--subject"),
        (("compose", "a dog", "--base", "missing/folder/of/mine"), "missing/folder/of/mine"),
        (("compose", "a dog", "--size", "63x64"), "multiples"),
        (("inspect", "text.mp4"), "text.mp4"),
        (("rm", "nobody@1", "--yes"), "nobody"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message(
    dv: Dv, tmp_path: Path, home: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt.png").write_bytes((MATERIAL / "rex" / "1.png").read_bytes()[:400])
    (tmp_path / "text.mp4").write_text("not a video\n", encoding="utf-8")
    before = {p for p in tmp_path.rglob("*") if home not in p.parents and p != home}
    done = dv(*arguments, check=2)
    assert done.out == ""
    assert said in done.err
    assert {p for p in tmp_path.rglob("*") if home not in p.parents and p != home} == before
    leftovers = [p for p in home.rglob("*") if p.is_file() and not p.name.startswith(("registry.sqlite3", "."))]
    assert leftovers == []


def test_dry_run_learns_nothing(dv: Dv, home: Path) -> None:
    done = dv("subject", "learn", "fox", MATERIAL / "rex", "--class", "dog", "--dry-run", "--json")
    plan = json.loads(done.out)
    assert len(plan["sources"]) == 4
    assert not list(home.glob("adapters/fox/*"))
    assert dv("list", "--names").out == ""

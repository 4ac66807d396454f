"""Learning runs: what they tell, and, where they fail on the way, what is kept and advised."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import engine.losses
from registry import Registry, RegistryUnavailableError
from tests.rendering import MATERIAL

PHOTOGRAPHS = MATERIAL / "rex"
FEW = ("--token-steps", "3", "--adapter-steps", "1", "--size", "16x16", "--batch-size", "1", "--snapshot-every", "1")


def test_after_divergence_nobody_is_sent_there_again(
    dv: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is deterministic: resumed, it would diverge at the same step."""
    denoised, calls = engine.losses.denoised, []

    def diverging(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        made = denoised(*arguments, **options)
        return replace(made, target=made.target * float("nan")) if len(calls) == 3 else made

    learn = ("subject", "learn", "fox", PHOTOGRAPHS, "--class", "fox", *FEW)
    monkeypatch.setattr(engine.losses, "denoised", diverging)
    failed = dv(*learn)
    assert failed.code == 1, failed.err
    assert "nan at step 3" in failed.err and "learning" in failed.err
    assert "--restart" in failed.err and "--resume" not in failed.err
    assert dv("list", "--names").out == ""
    again = dv(*learn)
    assert again.code == 2 and "diverged" in again.err and "--restart" in again.err
    assert "--resume" not in again.err
    monkeypatch.setattr(engine.losses, "denoised", denoised)
    assert dv(*learn, "--token-learning-rate", "1e-5", "--restart").out == "fox@1\n"


def test_what_was_learnt_and_could_not_be_published_is_published_by_resuming(
    dv: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = ("subject", "learn", "fox", PHOTOGRAPHS, "--class", "fox", *FEW)
    with monkeypatch.context() as patched:
        patched.setattr(Registry, "publish", Mock(side_effect=RegistryUnavailableError("the server is gone")))
        failed = dv(*learn)
    assert failed.code == 1
    assert "the server is gone" in failed.err
    assert "dv subject learn fox --resume" in failed.err
    assert dv("subject", "learn", "fox", "--resume").out == "fox@1\n"


def test_encoding_is_told_before_the_first_step(dv: Callable[..., Any], home: Path) -> None:
    clip = PHOTOGRAPHS.parent / "zigzag" / "1-dog.mp4"
    learnt = dv("motion", "learn", "zigzag", clip, "--steps", "1", "--size", "16x16", "--batch-size", "1")
    assert learnt.out == "zigzag@1\n"
    lines = [line.split()[0] for line in learnt.err.splitlines() if "/" in line and line.split()[1:2]]
    assert lines.index("encoding") < lines.index("motion")


def test_a_kept_step_is_shown_composed_with_and_removed(dv: Callable[..., Any], home: Path, tmp_path: Path) -> None:
    few = (*FEW[:2], "--adapter-steps", "3", *FEW[4:])
    learnt = dv("subject", "learn", "fox", PHOTOGRAPHS, "--class", "fox", *few, "--keep-every", "2")
    assert learnt.out == "fox@1\n", learnt.err
    assert "the base's prediction moves by" in learnt.err
    about = json.loads(dv("show", "fox", "--json").out)
    (kept,) = about["kept_steps"]
    assert kept["id"] == "fox@1:2" and kept["held_out_loss"] > 0
    assert about["learning"]["identity"]["effect"]["prediction_change"] > 0
    assert "fox@1:2" in dv("show", "fox").out
    quick = ("--steps", "1", "--frames", "2", "--size", "16x16", "--output", tmp_path / "fox.mp4")
    made = dv("compose", "a fox is running", "--subject", "fox:2", *quick)
    assert made.code == 0, made.err
    (noted,) = json.loads(dv("inspect", tmp_path / "fox.mp4", "--json").out)["adapters"]
    assert (noted["name"], noted["sha256"]) == ("fox@1:2", kept["sha256"])
    again = dv("compose", "--from", tmp_path / "fox.mp4", "--output", tmp_path / "again.mp4")
    assert again.code == 0, again.err
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "fox.mp4").read_bytes()
    assert dv("verify", "fox").code == 0
    assert dv("rm", "fox@1:2", "--yes").out == "fox@1:2\n"
    gone = dv("compose", "a fox is running", "--subject", "fox:2", *quick)
    assert gone.code == 2 and "no step 2 of fox@1" in gone.err
    assert dv("list", "--names").out == "fox@1\n"

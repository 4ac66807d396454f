"""Learning runs: what they tell, and, where they fail on the way, what is kept and advised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import engine.learning
from registry import Registry, RegistryUnavailableError
from tests.rendering import MATERIAL

PHOTOGRAPHS = MATERIAL / "rex"
FEW = ("--token-steps", "3", "--adapter-steps", "1", "--size", "16x16", "--batch-size", "1", "--snapshot-every", "1")


def test_after_divergence_nobody_is_sent_there_again(
    dv: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is deterministic: resumed, it would diverge at the same step."""
    loss, calls = engine.learning.denoising_loss, []

    def diverging(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return loss(*arguments, **options) * (float("nan") if len(calls) == 3 else 1.0)

    learn = ("subject", "learn", "fox", PHOTOGRAPHS, "--class", "fox", *FEW)
    monkeypatch.setattr(engine.learning, "denoising_loss", diverging)
    failed = dv(*learn)
    assert failed.code == 1, failed.err
    assert "nan at step 3" in failed.err and "learning" in failed.err
    assert "--restart" in failed.err and "--resume" not in failed.err
    assert dv("list", "--names").out == ""
    again = dv(*learn)
    assert again.code == 2 and "diverged" in again.err and "--restart" in again.err
    assert "--resume" not in again.err
    monkeypatch.setattr(engine.learning, "denoising_loss", loss)
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

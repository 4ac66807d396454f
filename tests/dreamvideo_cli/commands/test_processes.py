"""`dv motion learn` and `dv subject learn` in two processes, as a launcher starts them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import engine.losses
from registry import Registry
from tests.launching import launched
from tests.rendering import MATERIAL

TWO_SAMPLES = ["--size", "32", "--batch-size", "1", "--gradient-accumulation", "2", "--device", "cpu"]
MOTION = [*TWO_SAMPLES, "--frames", "2", "--steps", "10"]
SUBJECT = [*TWO_SAMPLES, "--class", "dog", "--token-steps", "5", "--adapter-steps", "5"]


def weights_of(id: str) -> dict[str, torch.Tensor]:
    with Registry.open() as registry:
        (adapter,) = (one for one in registry.adapters() if one.id == id)
        return load_file(registry.path(adapter) / "adapter.safetensors")


def difference(id: str, other: str) -> float:
    """How far the weights are from the other's, as a part of their size."""
    weights, others = weights_of(id), weights_of(other)
    assert weights.keys() == others.keys()
    apart = sum(float((weights[name] - value).square().sum()) for name, value in others.items())
    return float((apart / sum(float(value.square().sum()) for value in others.values())) ** 0.5)


def test_two_processes_learn_one_adapter_and_the_one_that_a_single_process_learns(dv: Any) -> None:
    assert dv("motion", "learn", "alone", MATERIAL / "zigzag", *MOTION).code == 0
    done = launched("-m", "dreamvideo_cli", "motion", "learn", "together", MATERIAL / "zigzag", *MOTION)
    assert (done.returncode, done.stdout) == (0, "together@1\n"), done.stderr
    assert difference("together@1", "alone@1") < 1e-5
    with Registry.open() as registry:
        assert sorted(adapter.id for adapter in registry.adapters()) == ["alone@1", "together@1"]
        assert [(run.name, run.state, run.adapter) for run in registry.runs.all()] == [
            ("alone", "finished", "alone@1"), ("together", "finished", "together@1"),
        ]  # fmt: skip
        assert not registry.run_folder("together").exists()


def test_a_suite_is_not_for_processes_that_are_started_together(dv: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    done = dv("suite", "run", "small")
    assert (done.code, "run its shards (--shard)" in " ".join(done.err.split())) == (2, True), done.err


def test_a_run_of_one_process_goes_on_in_two(dv: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dv("subject", "learn", "alone", MATERIAL / "rex", *SUBJECT).code == 0
    denoised = engine.losses.denoised
    calls: list[None] = []

    def stopped(*arguments: Any, **more: Any) -> Any:
        calls.append(None)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return denoised(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr("engine.losses.denoised", stopped)
        assert dv("subject", "learn", "together", MATERIAL / "rex", *SUBJECT).code == 130
    done = launched("-m", "dreamvideo_cli", "subject", "learn", "together", "--resume", "--device", "cpu")
    assert (done.returncode, done.stdout) == (0, "together@1\n"), done.stderr
    assert difference("together@1", "alone@1") < 1e-5

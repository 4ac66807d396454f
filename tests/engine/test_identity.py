"""What makes two results the same: old hashes hold, a later neutral setting remakes nothing, a changed one does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import ResumeError
from engine.identity import _FIRST, WITHOUT_EFFECT, deciding, hashed
from engine.methods.common import setting
from engine.methods.dreamvideo import ComposeConfig, MotionConfig, SubjectConfig
from engine.methods.modelscope import FineTuningConfig
from engine.methods.table import METHODS
from engine.training import LoopConfig, Snapshots, train

Later: Any = make_dataclass(
    "Later", [("wobble", float, setting(0.0, "New in a later version."))], bases=(MotionConfig,), frozen=True
)


LATER: dict[type[Any], tuple[str, ...]] = {SubjectConfig: ("layers",)}
"""Settings that a method has had since later, under a name that others had in the first version."""


def test_first_versions_settings_are_all_there() -> None:
    """As 0.1 hashed them, defaults included: a cell of a suite is known by this hash."""
    config = ComposeConfig()
    first = {name: value for name, value in asdict(config).items() if name in _FIRST}
    assert {"steps", "guidance_scale", "size", "motion_until"} <= set(first)
    assert deciding(asdict(config), ComposeConfig) == json.loads(json.dumps(first))


@pytest.mark.parametrize("config", sorted({method.config for method in METHODS}, key=str))
def test_a_default_run_is_known_as_before(config: type[Any]) -> None:
    stored = {f.name: f.default for f in fields(config) if f.name in _FIRST and f.name not in LATER.get(config, ())}
    assert deciding(stored, config) == json.loads(json.dumps(stored))


def test_a_later_setting_at_its_default_changes_nothing() -> None:
    stored = asdict(MotionConfig())
    now = asdict(Later())
    assert "wobble" in now and deciding(now, Later) == deciding(stored, Later) == deciding(stored, MotionConfig)
    assert hashed(deciding(now, Later)) == hashed(deciding(stored, MotionConfig))


def test_a_later_setting_under_a_name_of_another_methods_first_ones_is_neutral_too() -> None:
    now = asdict(SubjectConfig())
    before = {name: value for name, value in now.items() if name in _FIRST and name != "layers"}
    assert deciding(now, SubjectConfig) == deciding(before, SubjectConfig)
    assert deciding({**now, "layers": "all"}, SubjectConfig) != deciding(before, SubjectConfig)
    motion = asdict(MotionConfig())
    assert deciding(motion, MotionConfig)["layers"] == "all"


def test_a_later_setting_at_another_value_is_another_result() -> None:
    assert deciding(asdict(Later(wobble=0.5)), Later) != deciding(asdict(MotionConfig()), Later)


def test_a_setting_whose_default_is_not_what_was_done_before_tells_old_results_apart() -> None:
    now = asdict(FineTuningConfig())
    before = {name: value for name, value in now.items() if name in _FIRST}
    assert deciding(before, FineTuningConfig) == deciding({**now, "time_embedding": False}, FineTuningConfig)
    assert deciding(before, FineTuningConfig) != deciding(now, FineTuningConfig)


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_what_has_no_effect_makes_no_other_result(name: str) -> None:
    values = asdict(MotionConfig())
    assert deciding({**values, name: 7}, MotionConfig) == deciding(values, MotionConfig)


@pytest.mark.parametrize("name", ["steps", "learning_rate", "seed", "size", "batch_size", "hidden_ratio"])
def test_what_has_an_effect_does(name: str) -> None:
    values = asdict(MotionConfig())
    assert deciding({**values, name: 7}, MotionConfig) != deciding(values, MotionConfig)


def test_settings_back_from_json_are_the_same() -> None:
    values = asdict(MotionConfig(size=(64, 64)))
    assert deciding(json.loads(json.dumps(values)), MotionConfig) == deciding(values, MotionConfig)


@dataclass(frozen=True)
class Grown(MotionConfig):
    """The settings of a later version."""

    wobble: float = setting(0.0, "New.")


@pytest.mark.parametrize(
    ("config", "fits"),
    [
        (Grown(), True),
        (Grown(gradient_checkpointing=True, snapshot_every=7), True),
        (Grown(wobble=0.5), False),
        (Grown(seed=1), False),
    ],
)
def test_a_later_version_goes_on_with_a_snapshot(tmp_path: Path, config: MotionConfig, fits: bool) -> None:
    def run(of: MotionConfig) -> list[int]:
        weight, steps = nn.Parameter(torch.ones(2)), list[int]()

        def loss(step: int, _micro: int) -> torch.Tensor:
            steps.append(step)
            return weight.square().sum()

        snapshots = Snapshots(tmp_path / "part.snapshot", {"settings": deciding(asdict(of), type(of))})
        train({"weight": weight}, loss, LoopConfig(2, 0.1), snapshots=snapshots)
        return steps

    assert run(MotionConfig()) == [0, 1]
    if fits:
        assert run(config) == []
    else:
        with pytest.raises(ResumeError):
            run(config)

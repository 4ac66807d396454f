"""A base of every family is tuned on captioned clips, or refuses by what it says of itself: no test here knows a family
by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.errors import InputError
from engine.tuning.estimating import estimate_tuning
from engine.tuning.planning import TuningPlan, plan_tuning
from engine.tuning.settings import WHERE
from engine.tuning.training import PART, load_for_tuning, tune
from tests.engine.bases.conftest import Sample
from tests.engine.bases.family_samples import FRAMES, SIZE


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three clips of 9, 9 and 6 frames."""
    draw = np.random.default_rng(3)
    for number, (count, caption) in enumerate([(9, "a dog runs"), (9, "a cat"), (6, "snow falls")]):
        folder = tmp_path / "data" / f"{number}"
        folder.mkdir(parents=True)
        folder.with_suffix(".txt").write_text(caption)
        for index in range(count):
            Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{index:02}.png")
    return tmp_path / "data"


def planned(sample: Sample, data: Path, **options: object) -> TuningPlan:
    small = {"size": SIZE, "frames": FRAMES, "batch_size": 2, "steps": 2, "learning_rate": 1e-2}
    return plan_tuning(data, info=sample.info, options={**small, **options})


@pytest.mark.parametrize("parameters", ["all", "spatial", "temporal"])
def test_what_is_chosen_is_trained_and_is_another_base(
    sample: Sample, data: Path, tmp_path: Path, parameters: str
) -> None:
    base = sample.load()
    chosen = WHERE[parameters].names(base.labels)
    if any(base.family.stored_in(name) is None for name in chosen):
        with pytest.raises(InputError, match=rf"no files for \d+ of the parameters that `parameters` {parameters}"):
            planned(sample, data, parameters=parameters)
        return
    plan = planned(sample, data, parameters=parameters)
    told = estimate_tuning(plan, sample.location, device="cpu", dtype="fp32")
    tunable = load_for_tuning(sample.location, device="cpu", dtype="fp32")
    tuned = tune(plan, tunable, tmp_path / "made", run=tmp_path / "run")
    assert told.parameters == {PART: tuned.parameters}
    assert told.seconds > 0 and told.peak_bytes > 0
    made = load_base(BaseLocation("made", str(tmp_path / "made")), device="cpu")
    assert made.fingerprint != base.fingerprint
    before, after = (dict(each.denoiser.named_parameters()) for each in (base, made))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and moved <= {*chosen}
    clips = [json.loads(line) for line in (tmp_path / "made" / "learning" / "clips.jsonl").read_text().splitlines()]
    assert [clip["caption"] for clip in clips] == ["a dog runs", "a cat", "snow falls"]


def test_half_precision_trains_weights_that_are_not(sample: Sample, data: Path, tmp_path: Path) -> None:
    plan = planned(sample, data, parameters="spatial", steps=1)
    base = load_for_tuning(sample.location, device="cpu", dtype="bf16")
    tune(plan, base, tmp_path / "made", run=tmp_path / "run")
    assert {parameter.dtype for parameter in base.denoiser.parameters()} == {torch.float32}
    untouched, made = sample.load(), load_base(BaseLocation("made", str(tmp_path / "made")), device="cpu")
    kept = [name for name in untouched.labels if name not in plan.trained]
    for name in kept:
        assert torch.equal(made.denoiser.get_parameter(name), untouched.denoiser.get_parameter(name))

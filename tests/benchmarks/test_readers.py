"""The nets that read clips of the world: trained once, kept by their settings, refusing other clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.figures.asked import to_pixels
from benchmarks.figures.readers.reading import Readers, Readings
from benchmarks.figures.readers.training import ReaderSettings
from engine.errors import InputError
from engine.training import LoopConfig
from engine.world.individuals import individual
from engine.world.pictures import clip


def test_readers_are_trained_once_and_read_back(tmp_path: Path) -> None:
    loop = LoopConfig(steps=2, learning_rate=1e-3, seed=5)
    settings = ReaderSettings(loop, loop, (8, 8, 8), (8, 8, 8), frame_batch=4, motion_batch=2, pool=8)
    steps: list[str] = []
    first = Readers.load(settings, folder=tmp_path, told=lambda name, _: steps.append(name))
    again = Readers.load(settings, folder=tmp_path, told=lambda name, _: steps.append(name))
    assert steps == ["frame"] * 2 + ["motion"] * 2
    filmed = [clip(individual("dog", 1), "left", 1).frames, clip(individual("boat", 2), "up", 2).frames]
    pixels = to_pixels(np.stack(filmed))
    one, other = first.read(pixels), again.read(pixels)
    assert one.classes == other.classes and one.motions == other.motions
    assert torch.equal(one.track, other.track) and one.track.shape == (2, 8, 2)


def test_other_settings_do_not_read_each_others_weights(tmp_path: Path) -> None:
    steps: list[str] = []
    for seed in (5, 6):
        loop = LoopConfig(steps=1, learning_rate=1e-3, seed=seed)
        settings = ReaderSettings(loop, loop, (8, 8, 8), (8, 8, 8), frame_batch=4, motion_batch=2, pool=8)
        Readers.load(settings, folder=tmp_path, told=lambda name, _: steps.append(name))
    assert steps == ["frame", "motion"] * 2


def test_readers_refuse_clips_of_another_length(tmp_path: Path) -> None:
    loop = LoopConfig(steps=1, learning_rate=1e-3)
    settings = ReaderSettings(loop, loop, (8, 8, 8), (8, 8, 8), frame_batch=4, motion_batch=2, pool=8)
    with pytest.raises(InputError, match="8 frames of 64 x 64"):
        Readers.load(settings, folder=tmp_path).read(torch.zeros(1, 4, 3, 64, 64))


def test_an_individual_that_is_lost_in_one_frame_has_no_track() -> None:
    found = torch.ones(2, 8, dtype=torch.bool)
    found[1, 3] = False
    readings = Readings(["dog"] * 2, ["sea"] * 2, ["up"] * 2, torch.rand(2, 8, 2), found)
    assert readings.tracked(0) is not None and readings.tracked(1) is None

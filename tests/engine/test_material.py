"""Photographs and clips of the world's individuals as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.clips import probe_clip, read_clip
from engine.media.metadata import read_metadata
from engine.world.individuals import individual
from engine.world.material import clips_of, photographs_of, write_clips, write_photographs


def test_photographs_are_of_one_individual_over_different_scenes(tmp_path: Path) -> None:
    one = individual("rabbit", 3)
    paths = write_photographs(one, tmp_path / "photos", seed=2)
    assert [path.name for path in paths] == [f"{i}.png" for i in range(1, 6)]
    taken = photographs_of(one, seed=2)
    assert len({photo.scene for photo in taken}) == 5
    assert all(np.array_equal(np.asarray(Image.open(p)), t.pixels) for p, t in zip(paths, taken, strict=True))
    assert not np.array_equal(taken[0].pixels, photographs_of(one, seed=3)[0].pixels)


def test_clips_of_others_in_one_motion_have_their_prompts_beside_them(tmp_path: Path) -> None:
    moving = [individual("car", 1), individual("frog", 2)]
    paths = write_clips("zigzag", moving, tmp_path / "clips", seed=4)
    assert [path.name for path in paths] == ["1-car.mp4", "2-frog.mp4"]
    for path, one, filmed in zip(paths, moving, clips_of("zigzag", moving, seed=4), strict=True):
        prompt = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
        assert prompt.startswith(f"a {one.class_word} zigzagging ") and read_metadata(path)["prompt"] == prompt
        shown = np.stack(list(read_clip(probe_clip(path))))
        assert shown.shape == filmed.frames.shape
        assert np.abs(shown.astype(int) - filmed.frames).mean() < 6

"""What a plan refuses before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.bases.location import EMBEDDED, inspect_base
from engine.errors import InputError
from engine.planning import plan_motion

INFO = inspect_base(EMBEDDED)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip as a folder of frames."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(9):
        Image.fromarray(np.full((16, 16, 3), number * 20, np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"prompt": ""}, "`prompt` is empty"),
        ({"prompt": " \n"}, "`prompt` is empty"),
        ({"start": float("nan")}, "`start`"),
        ({"start": -1.0}, "`start`"),
        ({"end": float("inf")}, "`end`"),
        ({"end": float("nan")}, "`end`"),
        ({"source_fps": float("inf")}, "`source_fps`"),
        ({"source_fps": 1e300}, "`source_fps`"),
        ({"source_fps": 0.0}, "`source_fps`"),
    ],
)
def test_a_motions_prompt_and_part_are_checked(clip: Path, about: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_motion([clip], about.pop("prompt", "something moves"), info=INFO, options={}, **about)

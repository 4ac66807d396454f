"""Which files of a batch are there already: by what they note, of this dv and of earlier ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamvideo_cli.jobs.expected_files import ExpectedFile
from engine.identity import deciding
from engine.media.metadata import for_png
from engine.methods.dreamvideo import ComposeConfig
from engine.settings import as_values

SETTINGS = as_values(ComposeConfig(steps=8).completed())
EXPECTED: dict[str, Any] = {
    "prompt": "a * runs", "seed": 3, "dtype": "float32", "base": "f", "appearance": None,
    "settings": deciding(SETTINGS, ComposeConfig), "adapters": [("subject", "d"), ("motion", "r")],
}  # fmt: skip
RECORD: dict[str, Any] = {
    "prompt": "a * runs", "seed": 3, "dtype": "float32", "base": {"name": "b", "fingerprint": "f"}, "appearance": None,
    "settings": SETTINGS,
    "adapters": [
        {"role": "subject", "name": "dog@1", "sha256": "d", "strength": 1.0},
        {"role": "motion", "name": "run@1", "sha256": "r", "strength": 1.0},
    ],
}  # fmt: skip
OLD: dict[str, Any] = {
    **{name: value for name, value in RECORD.items() if name != "adapters"},
    "settings": {name: value for name, value in SETTINGS.items() if name != "sampler"},
    "motion": {"name": "run@1", "sha256": "r"},
    "subject": {"name": "dog@1", "sha256": "d"},
}


@pytest.mark.parametrize(
    ("record", "there"),
    [
        (RECORD, True),
        (OLD, True),
        ({**RECORD, "settings": {**SETTINGS, "sampler": "unipc"}}, False),
        ({**RECORD, "adapters": RECORD["adapters"][:1]}, False),
        ({**RECORD, "adapters": RECORD["adapters"][::-1]}, False),
        ({**OLD, "motion": {"name": "run@2", "sha256": "other"}}, False),
        ({**RECORD, "settings": "x"}, False),
        ({}, False),
    ],
)
def test_a_file_is_known_by_what_it_notes(tmp_path: Path, record: dict[str, Any], there: bool) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "made.png", pnginfo=for_png(record))
    assert ExpectedFile(tmp_path / "made.png", 3, EXPECTED).is_there(None) == there

"""`dv compose --from`: what a file was made with and isn't here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.bases.location import EMBEDDED

Dv = Callable[..., Any]


def test_compose_again_says_what_is_missing(checked: Dv, tmp_path: Path) -> None:
    from PIL import Image

    from dreamvideo_cli.jobs.bases import fingerprint_of
    from engine.media.metadata import for_png

    assert "say what to show" in checked("compose", check=2).err
    base = {"name": "embedded", "fingerprint": "0" * 64}
    here = {"name": "embedded", "fingerprint": fingerprint_of(EMBEDDED)}
    lost, python = ({"role": "subject", "name": "dog@1", "sha256": "a" * 64}, {"role": "motion", "name": "jog"})
    record: dict[str, Any] = {
        "prompt": "a dog", "seed": 1, "dtype": "float32", "base": base, "settings": {}, "appearance": None,
    }  # fmt: skip
    for change, said in (
        ({}, "isn't among your bases"),
        ({"base": 3}, "is damaged"),
        ({"seed": "x"}, "is damaged"),
        ({"dtype": "float3"}, "isn't among your bases"),
        ({"subject": {"name": "dog@1", "sha256": "a" * 64}}, "isn't among your bases"),
        ({"base": here, "subject": {"name": "dog@1", "sha256": "a" * 64}}, "the subject dog@1 (aaaaaaaaaaaa)"),
        ({"base": here, "adapters": [lost]}, "the subject dog@1 (aaaaaaaaaaaa), which isn't here under any name"),
        ({"base": here, "adapters": [python]}, "the motion jog (never published), which isn't here"),
        ({"base": here, "adapters": [python, python]}, "more than one motion, which only Python composes: jog, jog"),
    ):
        Image.new("RGB", (8, 8)).save(tmp_path / "made.png", pnginfo=for_png({**record, **change}))
        assert said in " ".join(checked("compose", "--from", "made.png", check=2).err.split())
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    assert "was not made by dv" in checked("compose", "--from", "bare.png", check=2).err

"""Deltas as bars: which files can be drawn, and that equal changes have equal bytes."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.weight_change_plot import check_drawing, draw
from engine.weight_changes import KindChange


def test_without_matplotlib_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.weight_change_plot.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'dreamvideo-cli\[plots\]'"):
        check_drawing(Path("a.png"))


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="an extra that isn't installed here")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_it_is_drawn_and_equal_changes_have_equal_bytes(tmp_path: Path, suffix: str) -> None:
    changes = {
        "spatial": [KindChange("cross_attention", 0.2, 0.1, 0.4, 3), KindChange("other", 0.1, 0.0, 0.2, 2)],
        "temporal": [KindChange("self_attention", 0.1, 0.1, 0.1, 1)],
    }
    files = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for file in files:
        draw(changes, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    start = b"\x89PNG" if suffix == "png" else b"<?xml"
    assert files[0].read_bytes().startswith(start)
    if suffix == "svg":
        assert "cross-attention" in files[0].read_text(encoding="utf-8")
    assert "matplotlib.pyplot" not in sys.modules

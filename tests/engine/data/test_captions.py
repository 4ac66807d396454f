"""Captions beside photographs and clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.captions import caption_beside
from engine.errors import InputError


def test_caption_lies_beside(tmp_path: Path) -> None:
    clip = tmp_path / "a.b.mp4"
    folder = tmp_path / "walk.v2"
    folder.mkdir()
    assert caption_beside(clip) is None
    (tmp_path / "a.b.txt").write_text("\ufeff a person is playing \u00fcber \n", encoding="utf-8")
    (tmp_path / "walk.v2.txt").write_text("a dog walks")
    assert caption_beside(clip) == "a person is playing \u00fcber"
    assert caption_beside(folder) == "a dog walks"


@pytest.mark.parametrize(("content", "reason"), [(b" \n", "empty"), (b"\xff\xfe\x80", "UTF-8")])
def test_unusable_caption_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        caption_beside(tmp_path / "a.mp4")


def test_a_caption_may_be_named_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "C.TXT").write_text("a dog walks")
    assert caption_beside(tmp_path / "C.MP4") == "a dog walks"

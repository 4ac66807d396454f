"""Files appear whole, and replace nothing unasked."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from engine.files import FileThereError, written_aside


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with pytest.raises(FileThereError, match=r"out\.txt exists"), written_aside(target, replace=False) as partial:
        partial.write_text("new")
        target.write_text("somebody else's")
    assert target.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [target]
    with written_aside(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_given_its_name_once_with_links_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "out.txt"
    with written_aside(target, replace=False) as partial:
        partial.write_text("first")
    with pytest.raises(FileThereError), written_aside(target, replace=False) as partial:
        partial.write_text("second")
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]

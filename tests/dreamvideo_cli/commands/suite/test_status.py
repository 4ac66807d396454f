"""`dv suite status`: how far a suite is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.dreamvideo_cli.commands.suite.sample import BARE, Write


def test_status_of_what_was_never_run(dv: Any, write: Write, tmp_path: Path) -> None:
    done = dv("suite", "status", write(BARE))
    assert done.code == 0 and "bare" in done.out
    (tmp_path / "empty").mkdir()
    done = dv("suite", "status", "empty")
    assert (done.code, "holds no results of a suite" in done.err) == (2, True)

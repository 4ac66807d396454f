"""Progress in lines, where there is no terminal."""

from __future__ import annotations

import pytest

from dreamvideo_cli.jobs.events import Encoded, Step
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.reporting import Reporter


def test_encoding_is_shown_in_frames_and_learning_in_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(Out()) as report:
        for done in (64, 128, 200):
            report(Encoded(done, 200, 0.01))
        report(Step("motion", 1, 2, 0.1))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["encoding", "64/200"],
        ["encoding", "128/200"],
        ["encoding", "200/200"],
        ["motion", "1/2"],
    ]
    assert "frames/s" in lines[0]
    assert "steps/s" in lines[3]

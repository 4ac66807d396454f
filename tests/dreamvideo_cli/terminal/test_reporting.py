"""What a job tells of itself, as a person at a terminal and a script behind a pipe get it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dreamvideo_cli.jobs.events import Event, FileMade, Note, Step, Warned
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.reporting import Reporter

EVENTS: tuple[Event, ...] = (
    Step("batch", 1, 3, 0.1),
    FileMade(Path("first.mp4"), 1),
    Warned("row 2 failed"),
    Step("batch", 2, 3, 0.1),
    Note("nearly there"),
    Step("batch", 3, 3, 0.1),
)
ON_TERMINAL = """
from tests.dreamvideo_cli.terminal.test_reporting import EVENTS, Out, Reporter
with Reporter(Out()) as report:
    for event in EVENTS:
        report(event)
"""


def screen(written: str) -> list[str]:
    """The lines that a terminal shows: what bars need of it, and no more."""
    lines, row = [""], 0
    for control, text in re.findall(r"(\r|\n|\x1b\[[0-9;?]*[a-zA-Z])|([^\r\n\x1b]+)", written):
        if control == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif control == "\x1b[1A":
            row -= 1
        elif control == "\x1b[2K":
            lines[row] = ""
        lines[row] += text
    return [line for line in lines if line]


def test_what_is_told_while_bars_are_shown_has_lines_of_its_own() -> None:
    ours, output = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL], stdout=output, stderr=output, cwd=Path(__file__).parents[3],
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(output)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # nobody has it open any more
            break
    os.close(ours)
    assert done.wait() == 0
    first, warning, *rest = screen(written.decode())
    assert (first, warning) == ("first.mp4", "warning: row 2 failed")
    assert [re.sub(r"\W*batch\W*", "batch ", line).split("  ")[0] for line in rest] == [
        "batch 2/3", "nearly there", "batch 3/3"
    ]  # fmt: skip


@pytest.mark.parametrize("out", [Out(), Out(quiet=True), Out(json=True)], ids=["plain", "quiet", "json"])
def test_a_pipe_gets_paths_and_a_log_gets_the_rest(capsys: pytest.CaptureFixture[str], out: Out) -> None:
    with Reporter(out) as report:
        for event in EVENTS:
            report(event)
    said = capsys.readouterr()
    assert said.out == ("" if out.json else "first.mp4\n")
    beginnings = [" ".join(line.split()[:2]) for line in said.err.splitlines()]
    if out.quiet:
        assert beginnings == ["warning: row"]
    else:
        assert beginnings == ["batch 1/3", "warning: row", "batch 2/3", "nearly there", "batch 3/3"]

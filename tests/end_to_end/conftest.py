"""What the end-to-end tests share: `dv` on the embedded base, in a home of its own, in this process or as another.

Another process loads all libraries anew, which takes it longer than its work: only tests of processes start one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dreamvideo_cli.main import run

SHORT = ["--token-steps", "3", "--adapter-steps", "3"]


@dataclass(frozen=True)
class Done:
    """How `dv` ended."""

    code: int
    out: str
    err: str


Dv = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def dv(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Dv:
    """Run `dv` in this process with the arguments given, in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path, check: int | None = 0, **environment: str) -> Done:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"DV_HOME": str(home), "COLUMNS": "120", **environment}.items():
                patch.setenv(name, value)
            code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err, err
        if check is not None:
            assert code == check, err
        return Done(code, out, err)

    return call


def command_line(*arguments: str | Path) -> list[str]:
    """`dv` as a process's arguments."""
    return [sys.executable, "-m", "dreamvideo_cli", *map(str, arguments)]


@pytest.fixture
def process(tmp_path: Path, home: Path) -> Dv:
    """Run `dv` as a process with the arguments given, in `tmp_path`."""

    def call(*arguments: str | Path, check: int = 0) -> Done:
        done = subprocess.run(
            command_line(*arguments),
            cwd=tmp_path,
            env={**os.environ, "DV_HOME": str(home), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == check, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return call

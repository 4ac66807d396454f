"""What the end-to-end tests share: `dv` as a process, on the embedded base, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SHORT = ["--token-steps", "3", "--adapter-steps", "3"]


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    code: int
    out: str
    err: str


Dv = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def dv(tmp_path: Path, home: Path) -> Dv:
    """Run `dv` with the arguments given, in `tmp_path`."""

    def run(*arguments: str | Path, check: int | None = 0, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "dreamvideo_cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "DV_HOME": str(home), "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if check is not None:
            assert done.returncode == check, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return run

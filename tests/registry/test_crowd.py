"""Processes that publish at the same time, few here: benchmarks/registry_crowd.py has as many as one likes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "registry_crowd.py"


@pytest.mark.databases("sqlite", "postgresql")
def test_no_adapter_is_lost_and_nobody_is_told_of_locks(database: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--processes", "3", "--adapters", "8"],
        cwd=SCRIPT.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["adapters"], report["errors"], report["lost"]) == (24, [], [])

"""Odd input, a little of it: benchmarks/fuzzing.py has as many cases as one likes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzzing.py"


def test_odd_input_is_taken_or_refused_with_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--cases", "300", "--seed", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["cases"] >= 300
    assert set(told["exit_codes"]) <= {"0", "1", "2", "130"}
    assert min(told["by_target"].values()) > 0

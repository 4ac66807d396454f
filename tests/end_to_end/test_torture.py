"""The torture of the registry, small: benchmarks/registry_torture.py has as many kills as one likes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "registry_torture.py"


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "4", "--jobs", "rename,prune,import,tag", "--work", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["kills"] >= 4
    assert "Traceback" not in (tmp_path / "stderr.log").read_text()

"""A program in two processes, as a launcher starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def launched(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script, or `-m` and a module, with its arguments. Processes that a failing launcher leaves end by
    themselves."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip

"""The examples in docs/python.md run as they stand, in a process that never loads the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.rendering import MATERIAL

ROOT = Path(__file__).parents[2]
SHORT = "{'size': [16, 16], 'frames': 2, 'steps': 2, 'guidance_scale': 1}"
SUITE = f"""
prompts = ["a * asleep"]
seeds = [0]
methods = ["textual-inversion", {{name = "bare"}}]
[subject_options]
size = [32, 32]
batch_size = 1
token_steps = 2
[compose_options]
size = [16, 16]
frames = 2
steps = 2
guidance_scale = 1
[[subjects]]
name = "fox"
class = "dog"
images = "{MATERIAL / "rex"}"
"""


def test_python_examples_run_without_a_terminal(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    given = (
        f"from pathlib import Path\npictures, clips = Path({str(MATERIAL / 'rex')!r}), "
        f"Path({str(MATERIAL / 'zigzag')!r})\nwork = Path({str(tmp_path)!r})\nsuite = {SUITE!r}\n"
        "subject_settings = {'size': [32, 32], 'batch_size': 1, 'token_steps': 2, 'adapter_steps': 2}\n"
        "motion_settings = {'size': [32, 32], 'frames': 2, 'batch_size': 1, 'steps': 2}\n"
        f"compose_settings = {SHORT}\n"
    )
    asked = "\nimport sys\nprint('loaded', *sorted({'typer', 'rich'} & set(sys.modules)))\n"
    environment = {**os.environ, "DV_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", given + "\n".join(examples) + asked],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "['fox@1', 'zigzag@1']"
    assert "[('made', None), ('made', None)]" in lines
    assert [line.split()[:2] for line in lines[3:5]] == [["textual-inversion", "made"], ["bare", "made"]]
    assert lines[-1] == "loaded"
    assert (tmp_path / "fox.mp4").stat().st_size > 500 and (tmp_path / "engine.mp4").stat().st_size > 500

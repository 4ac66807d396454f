"""The example in docs/python.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import dreamvideo_cli

ROOT = Path(__file__).parents[2]
MATERIAL = Path(dreamvideo_cli.__file__).parent / "material"


def test_python_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    given = {
        "pictures": MATERIAL / "fox",
        "clips": MATERIAL / "zigzag",
        "work": tmp_path,
        "subject_options": {"token_steps": 2, "adapter_steps": 2},
        "motion_options": {"steps": 2},
        "compose_options": {"steps": 2},
    }
    exec(compile(code, "docs/python.md", "exec"), given)
    assert (tmp_path / "fox.mp4").stat().st_size > 500

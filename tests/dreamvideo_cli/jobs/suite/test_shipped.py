"""The suites that dv brings, and the one in its docs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from dreamvideo_cli.jobs.suite.shipped import shipped_suites, suite_file
from engine.evaluation.suites.reading import read_suite
from tests.rendering import MATERIAL


def test_dvs_own_suites() -> None:
    assert shipped_suites() == [
        "embedded-base", "embedded-steps", "paper", "paper-animatediff", "paper-tune-a-video", "small",
    ]  # fmt: skip
    small = read_suite(suite_file("small"))
    assert (len(small.methods), len(small.subjects), len(small.motions), len(small.prompts)) == (4, 2, 2, 1)
    full = read_suite(suite_file("embedded-base"))
    assert (len(full.subjects), len(full.motions), len(full.seeds)) == (6, 3, 3)
    steps = read_suite(suite_file("embedded-steps"))
    assert (len(steps.subjects), len(steps.motions), len(steps.cells())) == (6, 3, 576)
    assert {len(method.steps) for method in steps.methods} == {4}


def test_the_papers_suite_says_what_the_user_must_fill_in(dv: Any, home: Path) -> None:
    done = dv("suite", "run", "paper")
    assert done.code == 2
    for said in ("20 subjects, and has 0: add [[subjects]]", "30 motions", "42 prompts", f"Copy {suite_file('paper')}"):
        assert said in done.err


def test_the_example_of_the_docs_is_a_suite(dv: Any, home: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "suites.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.toml").write_text(example, encoding="utf-8")
    shutil.copytree(MATERIAL / "rex", tmp_path / "photos")
    shutil.copytree(MATERIAL / "zigzag", tmp_path / "clips")
    cost = json.loads(dv("suite", "run", "mine.toml", "--dry-run", "--json").out)
    assert cost["cells"] == cost["videos_to_make"] == 16
    # Two methods share a subject.
    assert cost["adapters_to_learn"] == [
        "mine-fox-dreamvideo", "mine-fox-lora",
        "mine-zigzag-dreamvideo", "mine-zigzag-lora", "mine-zigzag-dreamvideo-no-guidance",
    ]  # fmt: skip

"""Suites as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dreamvideo_cli.commands.suite.sample import FOX, SMALL, Write


@pytest.fixture
def write(home: Path, tmp_path: Path) -> Write:
    """Write a suite into the current folder."""

    def write_suite(*methods: str, more: str = FOX, prompts: str = '["a * asleep"]', seeds: str = "[0]") -> str:
        head = f"prompts = {prompts}\nseeds = {seeds}\nmethods = [{', '.join(methods)}]\n"
        (tmp_path / "trial.toml").write_text(head + SMALL + more, encoding="utf-8")
        return "trial.toml"

    return write_suite

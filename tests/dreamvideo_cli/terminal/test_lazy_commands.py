"""Commands that are listed before they are imported."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from typer.main import get_group

from dreamvideo_cli.main import app
from dreamvideo_cli.terminal.lazy_commands import LazyGroup


def root() -> LazyGroup:
    group = get_group(app)
    assert isinstance(group, LazyGroup)
    return group


@pytest.mark.parametrize("name", root().known)
def test_a_list_of_commands_says_what_the_command_says_itself(name: str) -> None:
    itself = root().commands[name]
    first_paragraph = inspect.cleandoc(itself.help or "").split("\n\n")[0]
    assert root().known[name].help == " ".join(first_paragraph.split())


def test_the_help_of_all_has_every_command_with_its_line_under_its_panel(dv: Any) -> None:
    shown = dv("--help").out
    for name, command in root().known.items():
        panel = shown.partition(f" {command.panel} ")[2].partition("╰")[0]
        rows = " ".join(panel.replace("│", " ").split())
        assert f"{name} {command.help}" in rows

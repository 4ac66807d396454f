"""What a list and a tab press don't load: that is how they stay quick. benchmarks/registry_speed.py has the figures."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("torch", "diffusers", "numpy", "sqlalchemy", "sqlmodel", "pydantic", "engine.methods.table")
LISTING = {"list": ["list"], "names": ["list", "--names"], "json": ["list", "--json"], "nothing": ["list", "--reverse"]}
TABS = ["dv show ", "dv compose x --subject ", "dv rm fox@", "dv show fox@1:", "dv base use ", "dv rename "]
WATCH = (
    "import sys; from dreamvideo_cli.main import run; code = run(sys.argv[1:])\n"
    "print(code, *sys.modules, file=sys.stderr)"
)
COMMANDS = "dreamvideo_cli.commands."

Process = Callable[..., Any]


def loaded(home: Path, arguments: list[str], **settings: str) -> set[str]:
    """The modules that `dv` with `arguments` has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *arguments],
        env={**os.environ, "DV_HOME": str(home), **settings}, cwd=home.parent, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


def commands_of(modules: set[str]) -> set[str]:
    return {name.removeprefix(COMMANDS) for name in modules if name.startswith(COMMANDS)}


def tab_press(line: str) -> dict[str, str]:
    """What the environment holds when a shell asks `dv` how `line` goes on."""
    return {"_DV_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line}


@pytest.mark.parametrize("arguments", LISTING.values(), ids=list(LISTING))
def test_a_list_loads_little(home: Path, publish: Any, arguments: list[str]) -> None:
    publish("fox")
    modules = loaded(home, arguments)
    assert not modules & set(HEAVY)
    assert commands_of(modules) == {"list"}


def test_the_help_of_all_imports_no_command(home: Path) -> None:
    modules = loaded(home, ["--help"])
    assert commands_of(modules) == set()
    assert not {
        name for name in modules if name.startswith(("dreamvideo_cli.jobs", "registry.store", "engine.methods"))
    }
    assert not modules & set(HEAVY)


def test_a_tab_press_after_dv_imports_no_command(home: Path) -> None:
    assert commands_of(loaded(home, [], **tab_press("dv "))) == set()


@pytest.mark.parametrize("line", TABS)
def test_a_tab_press_loads_little(home: Path, publish: Any, line: str) -> None:
    publish("fox")
    assert not loaded(home, [], **tab_press(line)) & set(HEAVY)


def on_terminal(home: Path, *arguments: str) -> tuple[list[str], str]:
    """The names in what `dv` writes to a terminal, and what it says beside it."""
    ours, output = pty.openpty()
    settings = {**os.environ, "DV_HOME": str(home), "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.Popen(
        [sys.executable, "-m", "dreamvideo_cli", *arguments], env=settings, stdout=output, stderr=subprocess.PIPE
    )
    os.close(output)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # nobody has it open any more
            chunk = b""
        if not chunk:
            break
        written += chunk
    os.close(ours)
    said = done.communicate()[1].decode()
    assert done.returncode == 0, said
    return re.findall(r"fox@\d+", written.decode()), said


def test_a_terminal_gets_a_page_and_a_pipe_everything(home: Path, dv: Any, publish: Any) -> None:
    for _ in range(53):
        publish("fox")
    shown, said = on_terminal(home, "list")
    assert shown == [f"fox@{number}" for number in range(4, 54)]
    assert said == "3 older: all of them with --limit 53, or through a pipe.\n"
    shown, said = on_terminal(home, "list", "--limit", "53", "--reverse")
    assert (len(shown), shown[0], said) == (53, "fox@53", "")
    piped = dv("list")
    assert (piped.out.count("fox@"), piped.err) == (53, "")
    assert len(json.loads(dv("list", "--json").out)) == 53

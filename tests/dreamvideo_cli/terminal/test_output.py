"""The listing's three modes side by side, and where everything that is said goes."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

from dreamvideo_cli.terminal.output import Column, Out, show_error

ROWS: list[dict[str, object]] = [
    {"id": "chowchow@1", "size": 1500, "about": None},
    {"id": "[bold]狐@12", "size": 20, "about": ":smile: x"},
]
COLUMNS = (
    Column("id", "Name", style="bold"),
    Column("size", "Size", lambda size: f"{size} B", "right"),
    Column("about", "About", lambda text: str(text or "-")),
)


def listed(capsys: Any, rows: list[dict[str, object]], *, names: bool = False, **how: bool) -> tuple[str, str]:
    Out(**how).table(rows, COLUMNS, id_key="id", names=names, empty="Nothing yet.")
    said = capsys.readouterr()
    return said.out, said.err


def test_listing_modes_side_by_side(capsys: Any, home: Path) -> None:
    table, names, data = (listed(capsys, ROWS, **how) for how in ({}, {"names": True}, {"json": True}))
    assert [line.rstrip() for line in table[0].splitlines()] == [
        "",
        " Name            Size   About",
        " ────────────────────────────────",
        " chowchow@1    1500 B   -",
        " [bold]狐@12     20 B   :smile: x",
        "",
    ]
    assert names[0] == "chowchow@1\n[bold]狐@12\n"
    assert json.loads(data[0]) == ROWS
    assert table[1] == names[1] == data[1] == ""


def test_an_empty_listing_leaves_stdout_to_scripts(capsys: Any, home: Path) -> None:
    assert listed(capsys, []) == ("", "Nothing yet.\n")
    assert listed(capsys, [], names=True) == ("", "")
    assert listed(capsys, [], json=True) == ("[]\n", "")


def test_a_narrow_terminal_shortens_cells_and_never_names_for_scripts(
    capsys: Any, home: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert max(len(line) for line in listed(capsys, ROWS)[0].splitlines()) <= 20
    assert listed(capsys, ROWS, names=True)[0].splitlines() == ["chowchow@1", "[bold]狐@12"]


def test_page_as_sections_and_as_json(capsys: Any, home: Path) -> None:
    sections = [("dog@1", {"Kind": "subject", "Folder": "/a/[b]"}), ("Settings", {"steps": "3"})]
    Out().page(sections, {"id": "dog@1"})
    shown = capsys.readouterr().out
    assert [line.rstrip() for line in shown.splitlines()] == [
        "dog@1", "Kind    subject", "Folder  /a/[b]", "", "Settings", "steps  3",
    ]  # fmt: skip
    Out(json=True).page(sections, {"id": "dog@1"})
    assert json.loads(capsys.readouterr().out) == {"id": "dog@1"}


def test_quiet_keeps_warnings_and_results(capsys: Any, home: Path) -> None:
    out = Out(quiet=True)
    out.note("a note")
    out.warn("a warning")
    out.result("result.mp4", {})
    said = capsys.readouterr()
    assert (said.out, said.err) == ("result.mp4\n", "warning: a warning\n")


def test_a_long_path_or_command_stays_on_one_line_of_a_log(capsys: Any, home: Path) -> None:
    path = "/" + "/".join(["folder"] * 40)
    Out().note(f"go on with: dv subject learn {path} --resume")
    Out().warn(path)
    show_error(f"{path} is gone\nLook for it.", ["A hint."])
    assert capsys.readouterr().err.splitlines() == [
        f"go on with: dv subject learn {path} --resume",
        f"warning: {path}",
        f"error: {path} is gone",
        "Look for it.",
        "A hint.",
    ]


def test_a_path_whose_bytes_are_not_text_leaves_as_it_is(capfdbinary: Any, home: Path) -> None:
    path = os.fsdecode(b"caf\xe9.mp4")
    Out().result(path, None)
    Out(json=True).result(path, {"path": path})
    first, rest = capfdbinary.readouterr().out.split(b"\n", 1)
    assert first == b"caf\xe9.mp4"
    assert json.loads(rest) == {"path": path}


def test_a_result_reaches_a_pipe_at_once(monkeypatch: Any) -> None:
    for out in (Out(), Out(json=True)):
        pipe = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe))
        out.result("a.mp4", "a.mp4")
        assert b"a.mp4" in pipe.getvalue()

"""All commands on one page, made from the app: `python -m dreamvideo_cli.terminal.reference` writes docs/cli.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from dreamvideo_cli.main import app
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.output import Out
from engine.files import written_aside

_EXAMPLE = re.compile(r"\s*Example: (dv .*)$", re.DOTALL)
_KINDS = {int: "INTEGER", float: "NUMBER", Path: "PATH"}
_HEAD = """\
# The commands of dv

Made from the app itself by `make docs`: changes here are lost.
Results are on stdout, everything said about them on stderr. `dv` ends with {codes}. See [scripting](scripting.md).
"""
_MEANINGS = {
    ExitCode.OK: "when all is well",
    ExitCode.FAILED: "when a job failed",
    ExitCode.BAD_INPUT: "for input that can't be used",
    ExitCode.INTERRUPTED: "after Ctrl-C",
}


def commands() -> list[tuple[str, Any]]:
    """Every command that does something, by its full name, groups' commands in the place of the group."""
    return list(_below("dv", get_command(app)))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for own, child in inner.items():
        yield from _below(f"{name} {own}", child)


def reference() -> str:
    """The whole page, as Markdown."""
    every = commands()
    codes = ", ".join(f"{int(code)} {_MEANINGS[code]}" for code in ExitCode)
    contents = "\n".join(f"- [`{name}`](#{name.replace(' ', '-')}): {_first_line(command)}" for name, command in every)
    sections = [_section(name, command) for name, command in every]
    return "\n".join([_HEAD.format(codes=codes), contents, "", "\n".join(sections)])


def _first_line(command: Any) -> str:
    return _plain(_EXAMPLE.sub("", command.help).split("\n\n")[0])


def _section(name: str, command: Any) -> str:
    found = _EXAMPLE.search(command.help)
    example = f"```sh\n{found[1]}\n```\n" if found else ""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, *(_place(argument) for argument in arguments), *(["[OPTIONS]"] if options else [])])
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(getattr(option, "rich_help_panel", None) or "Option", []).append(option)
    words = "\n\n".join(_plain(paragraph) for paragraph in _EXAMPLE.sub("", command.help).split("\n\n"))
    tables = [_table("Argument", arguments), *(_table(panel, inside) for panel, inside in panels.items())]
    return f"## {name}\n\n{words}\n\n{example}\n`{usage}`\n" + "".join(tables)


def _place(argument: Any) -> str:
    shown = f"{argument.metavar}{'...' if argument.nargs == -1 else ''}"
    return shown if argument.required else f"[{shown}]"


def _table(title: str, parameters: list[Any]) -> str:
    if not parameters:
        return ""
    rows = [f"| {_names(parameter)} | {_about(parameter)} |" for parameter in parameters]
    return "\n".join([f"\n| {_plain(title)} | |", "| --- | --- |", *rows, ""])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    return flags if parameter.is_flag else f"{flags} `{_kind(parameter)}`"


def _kind(parameter: Any) -> str:
    described = parameter.type_descriptor
    if parameter.metavar:
        return str(parameter.metavar)
    if described.is_choice:
        # A bar would end the table's cell.
        return " / ".join(str(choice) for choice in described.choices)
    return _KINDS.get(described.annotation, "TEXT")


def _about(parameter: Any) -> str:
    shown = parameter.show_default
    if not isinstance(shown, str):
        empty = parameter.default is None or isinstance(parameter.default, bool) or parameter.required
        shown = None if empty or not shown else str(parameter.default)
    return _plain(" ".join(filter(None, [parameter.help, f"Default: {shown}." if shown else ""])))


def _plain(text: str) -> str:
    """Text in one line that Markdown leaves as it is."""
    return re.sub(r"([*_|<\\])", r"\\\1", " ".join(text.split()))


if __name__ == "__main__":
    page = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/cli.md")
    with written_aside(page) as partial:
        partial.write_text(reference(), encoding="utf-8")
    Out().result(str(page), None)

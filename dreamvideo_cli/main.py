"""Entry point of `dv`: all its commands, and its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import typer

from dreamvideo_cli.terminal.errors import shown
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.lazy_commands import Command, LazyGroup
from dreamvideo_cli.terminal.output import flushed, show_version
from dreamvideo_cli.terminal.shell_scripts import ASKING
from engine.versions import version_of_dv

_MAKE, _FIND, _KEEP, _SET_UP = "Learn and make", "See what there is", "Keep it in order", "Set up"


class _Commands(LazyGroup):
    """All commands, in the order of the help."""

    known: ClassVar[Mapping[str, Command]] = {
        "demo": Command("demo", "demo", _MAKE),
        "subject": Command("subject", "app", _MAKE),
        "motion": Command("motion", "app", _MAKE),
        "compose": Command("compose", "compose_videos", _MAKE),
        "batch": Command("batch", "batch", _MAKE),
        "eval": Command("eval", "evaluate_videos", _MAKE),
        "suite": Command("suite", "app", _MAKE),
        "report": Command("report", "report", _MAKE),
        "study": Command("study", "app", _MAKE),
        "list": Command("list", "list_adapters", _FIND),
        "show": Command("show", "show", _FIND),
        "inspect": Command("inspect", "inspect", _FIND),
        "history": Command("history", "history", _FIND),
        "runs": Command("runs", "app", _FIND),
        "rename": Command("rename", "rename", _KEEP),
        "tag": Command("tag", "tag", _KEEP),
        "note": Command("note", "note", _KEEP),
        "rm": Command("rm", "remove", _KEEP),
        "prune": Command("prune", "prune", _KEEP),
        "verify": Command("verify", "verify", _KEEP),
        "export": Command("export", "export", _KEEP),
        "import": Command("import_", "import_", _KEEP),
        "base": Command("base", "app", _SET_UP),
        "completion": Command("completion", "app", _SET_UP),
        "doctor": Command("doctor", "doctor", _SET_UP),
    }


app = typer.Typer(
    name="dv",
    cls=_Commands,
    pretty_exceptions_enable=False,
    add_completion=False,  # `dv completion` does it
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        show_version(f"dv {version_of_dv()}")
        raise typer.Exit


@app.callback()
def dv(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Teach a video model your subject and a motion, and compose them: DreamVideo on your machine."""


def main() -> None:
    """Run `dv` with the process's arguments and exit."""
    sys.exit(flushed(run(sys.argv[1:])))


def run(arguments: Sequence[str]) -> int:
    """Run `dv` with `arguments` (none at all: show the help) and give the exit code."""
    if ASKING in os.environ:
        from typer.completion import get_completion_inspect_parameters

        get_completion_inspect_parameters()  # makes the shells known, which `add_completion` would do
    try:
        app(list(arguments) or ["--help"], prog_name="dv")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (Exception, KeyboardInterrupt) as error:
        code = shown(error)
        if code is None:
            raise
        return code
    return ExitCode.OK

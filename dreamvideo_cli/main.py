"""Entry point of `dv`, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import typer

from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.lazy_commands import Command, LazyGroup
from dreamvideo_cli.terminal.output import flushed, show_error, show_version
from dreamvideo_cli.terminal.shell_scripts import ASKING
from engine.errors import EngineError, JobError
from engine.versions import version_of_dv
from registry.errors import RegistryError, RegistryUnavailableError

# What a disk or its permissions refuse; any other OSError is a bug and stays a traceback.
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
# What is wrong with a path that a user gave.
_NO_PATH = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP})

_MAKE, _FIND, _KEEP, _SET_UP = "Learn and make", "See what there is", "Keep it in order", "Set up"


class _Commands(LazyGroup):
    """All commands, in the order of the help."""

    known: ClassVar[Mapping[str, Command]] = {
        "demo": Command("demo", "demo", _MAKE),
        "subject": Command("subject", "app", _MAKE),
        "motion": Command("motion", "app", _MAKE),
        "compose": Command("compose", "compose", _MAKE),
        "batch": Command("batch", "batch", _MAKE),
        "eval": Command("eval", "evaluate", _MAKE),
        "suite": Command("suite", "app", _MAKE),
        "report": Command("report", "report", _MAKE),
        "study": Command("study", "app", _MAKE),
        "list": Command("adapters", "list_adapters", _FIND),
        "show": Command("adapters", "show", _FIND),
        "inspect": Command("inspect", "inspect", _FIND),
        "history": Command("history", "history", _FIND),
        "runs": Command("runs", "app", _FIND),
        "rename": Command("labels", "rename", _KEEP),
        "tag": Command("labels", "tag", _KEEP),
        "note": Command("labels", "note", _KEEP),
        "rm": Command("adapters", "remove", _KEEP),
        "prune": Command("upkeep", "prune", _KEEP),
        "verify": Command("upkeep", "verify", _KEEP),
        "export": Command("packs", "export", _KEEP),
        "import": Command("packs", "import_", _KEEP),
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
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except (JobError, RegistryUnavailableError) as error:
        show_error(str(error), notes_of(error))
        return ExitCode.FAILED
    except (EngineError, RegistryError) as error:
        show_error(str(error), notes_of(error))
        return ExitCode.BAD_INPUT
    except BrokenPipeError:
        return ExitCode.FAILED
    except OSError as error:
        if error.errno not in _DISK_TROUBLE | _NO_PATH:
            raise
        wrong_path = error.errno in _NO_PATH
        where = f"{error.filename}: " if error.filename else ""
        way_out = "Check the name." if wrong_path else "Free some space, or allow writing there."
        show_error(f"{where}{error.strerror}. {way_out}", notes_of(error))
        return ExitCode.BAD_INPUT if wrong_path else ExitCode.FAILED
    return ExitCode.OK


def notes_of(error: BaseException) -> list[str]:
    """What was added to an error on its way up (`add_note`): hints on what to do now."""
    return list(getattr(error, "__notes__", ()))

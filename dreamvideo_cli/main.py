"""Entry point of `dv`, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dreamvideo_cli import __version__
from dreamvideo_cli.commands import (
    adapters,
    base,
    batch,
    completion,
    compose,
    demo,
    doctor,
    eval,
    history,
    inspect,
    labels,
    motion,
    packs,
    report,
    runs,
    study,
    subject,
    suite,
    upkeep,
)
from dreamvideo_cli.completions import ASKING
from dreamvideo_cli.exit_codes import ExitCode
from dreamvideo_cli.output import flushed, show_error, show_version
from engine.errors import EngineError, JobError
from registry.errors import RegistryError, RegistryUnavailableError

# What a disk or its permissions refuse; any other OSError is a bug and stays a traceback.
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
# What is wrong with a path that a user gave.
_NO_PATH = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP})

app = typer.Typer(
    name="dv",
    pretty_exceptions_enable=False,
    add_completion=False,  # `dv completion` does it
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        show_version(f"dv {__version__}")
        raise typer.Exit


@app.callback()
def dv(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Teach a video model your subject and a motion, and compose them: DreamVideo on your machine."""


_MAKE, _FIND, _KEEP, _SET_UP = "Learn and make", "See what there is", "Keep it in order", "Set up"

app.command("demo", rich_help_panel=_MAKE)(demo.demo)
app.add_typer(subject.app, name="subject", rich_help_panel=_MAKE)
app.add_typer(motion.app, name="motion", rich_help_panel=_MAKE)
app.command("compose", rich_help_panel=_MAKE)(compose.compose)
app.command("batch", rich_help_panel=_MAKE)(batch.batch)
app.command("eval", rich_help_panel=_MAKE)(eval.evaluate)
app.add_typer(suite.app, name="suite", rich_help_panel=_MAKE)
app.command("report", rich_help_panel=_MAKE)(report.report)
app.add_typer(study.app, name="study", rich_help_panel=_MAKE)
app.command("list", rich_help_panel=_FIND)(adapters.list_adapters)
app.command("show", rich_help_panel=_FIND)(adapters.show)
app.command("inspect", rich_help_panel=_FIND)(inspect.inspect)
app.command("history", rich_help_panel=_FIND)(history.history)
app.add_typer(runs.app, name="runs", rich_help_panel=_FIND)
app.command("rename", rich_help_panel=_KEEP)(labels.rename)
app.command("tag", rich_help_panel=_KEEP)(labels.tag)
app.command("note", rich_help_panel=_KEEP)(labels.note)
app.command("rm", rich_help_panel=_KEEP)(adapters.remove)
app.command("prune", rich_help_panel=_KEEP)(upkeep.prune)
app.command("verify", rich_help_panel=_KEEP)(upkeep.verify)
app.command("export", rich_help_panel=_KEEP)(packs.export)
app.command("import", rich_help_panel=_KEEP)(packs.import_)
app.add_typer(base.app, name="base", rich_help_panel=_SET_UP)
app.add_typer(completion.app, name="completion", rich_help_panel=_SET_UP)
app.command("doctor", rich_help_panel=_SET_UP)(doctor.doctor)


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

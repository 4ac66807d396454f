"""Entry point of `dv`, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dreamvideo_cli import __version__
from dreamvideo_cli.commands import adapters, base, compose, demo, eval, inspect, motion, subject
from dreamvideo_cli.exit_codes import ExitCode
from dreamvideo_cli.output import flushed, show_error, show_version
from engine.errors import EngineError, JobError
from registry.errors import RegistryError, RegistryUnavailableError

# What a disk or its permissions refuse; any other OSError is a bug and stays a traceback.
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})

app = typer.Typer(
    name="dv",
    pretty_exceptions_enable=False,
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


app.add_typer(subject.app, name="subject")
app.add_typer(motion.app, name="motion")
app.command("compose")(compose.compose)
app.command("eval")(eval.evaluate)
app.command("inspect")(inspect.inspect)
app.command("list")(adapters.list_adapters)
app.command("show")(adapters.show)
app.command("rm")(adapters.remove)
app.add_typer(base.app, name="base")
app.command("demo")(demo.demo)


def main() -> None:
    """Run `dv` with the process's arguments and exit."""
    sys.exit(flushed(run(sys.argv[1:])))


def run(arguments: Sequence[str]) -> int:
    """Run `dv` with `arguments` (none at all: show the help) and give the exit code."""
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
        if error.errno not in _DISK_TROUBLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        show_error(f"{where}{error.strerror}. Free some space, or allow writing there.", notes_of(error))
        return ExitCode.FAILED
    return ExitCode.OK


def notes_of(error: BaseException) -> list[str]:
    """What was added to an error on its way up (`add_note`): hints on what to do now."""
    return list(getattr(error, "__notes__", ()))

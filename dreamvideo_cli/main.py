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
        "demo": Command(
            "demo",
            "demo",
            _MAKE,
            "Learn an individual and a motion that the embedded base never saw, and put them together: some minutes.",
        ),
        "subject": Command("subject", "app", _MAKE, "Learn subjects: a dog, a toy, a face."),
        "motion": Command("motion", "app", _MAKE, "Learn motions: playing the guitar, a car's turn."),
        "compose": Command("compose", "compose_videos", _MAKE, "Compose a video, and print its path."),
        "batch": Command(
            "batch",
            "batch",
            _MAKE,
            "Compose a video for every row of a file, each base loaded once, and print the paths.",
        ),
        "eval": Command(
            "eval",
            "evaluate_videos",
            _MAKE,
            "Measure videos: text, subject, consistency, motion. docs/evaluation.md says what each figure means.",
        ),
        "suite": Command("suite", "app", _MAKE, "Suites: many methods on the same material, measured alike."),
        "report": Command(
            "report",
            "report",
            _MAKE,
            "Write a suite's tables, videos, learning curves and settings as one HTML page, and print its path.",
        ),
        "analyze": Command(
            "analyze", "app", _MAKE, "Analyses of the paper: how much fine-tuning changes which weights."
        ),
        "study": Command(
            "study", "app", _MAKE, "A user study of a suite's videos: a page for raters, and their votes counted."
        ),
        "list": Command("list", "list_adapters", _FIND, "List what was learnt, the newest last."),
        "show": Command(
            "show",
            "show",
            _FIND,
            "Show all that is known of an adapter: tags and note, settings and where they came from, sources, hashes, "
            "how it was learnt, and which steps were kept.",
        ),
        "inspect": Command(
            "inspect",
            "inspect",
            _FIND,
            "Show how a video or contact sheet was made: prompt, adapters, base, seed, settings.",
        ),
        "history": Command(
            "history",
            "history",
            _FIND,
            "List the videos that were composed, the newest last. Make one again with dv compose --from FILE.",
        ),
        "runs": Command("runs", "app", _FIND, "Learning runs: list, show, log, resume, stop."),
        "rename": Command(
            "rename",
            "rename",
            _KEEP,
            "Rename an adapter with all its versions. Numbers stay, and those of the old name aren't used again.",
        ),
        "tag": Command(
            "tag",
            "tag",
            _KEEP,
            "Tag an adapter, and print its tags. What is tagged stays when old versions are pruned.",
        ),
        "note": Command("note", "note", _KEEP, "Write a note on an adapter, or print the one there is."),
        "rm": Command(
            "rm",
            "remove",
            _KEEP,
            "Remove adapters and their files, or steps that were kept of them. Version numbers aren't used again.",
        ),
        "prune": Command(
            "prune",
            "prune",
            _KEEP,
            "Remove what isn't needed, after showing it: without a choice --orphans and --failed.",
        ),
        "verify": Command(
            "verify",
            "verify",
            _KEEP,
            "Hash adapters and their sources again. Exits with 1 if an adapter is damaged or a source was changed.",
        ),
        "export": Command(
            "export", "export", _KEEP, "Write adapters into one file that any dv can import, and print its path."
        ),
        "import": Command(
            "import_",
            "import_",
            _KEEP,
            "Take in adapters that were exported, and print their ids here. All are checked before the first comes in.",
        ),
        "base": Command("base", "app", _SET_UP, "The base models: list, show, add, tune, use, rm."),
        "completion": Command("completion", "app", _SET_UP, "The tab key in bash, zsh and fish: install, show."),
        "doctor": Command(
            "doctor",
            "doctor",
            _SET_UP,
            "Look at ffmpeg, the disk, the registry, the bases and the devices. Exits with 1 if something is bad.",
        ),
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

"""`dv suite status`: how far a suite is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.commands.suite.options import FolderOption
from dreamvideo_cli.terminal.completion import suite_names
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import age_text
from engine.errors import InputError

_COLUMNS = (
    Column("name", "Suite", style="bold"),
    Column("made", "Done", str, "right"),
    Column("failed", "Failed", str, "right"),
    Column("size", "Cells", str, "right"),
    Column("updated_at", "Worked on", lambda moment: age_text(str(moment)), style="dim"),
    Column("folder", "Folder", wrap=True),
)


def status(
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE",
            help="A folder of results, or the suite itself.",
            show_default="list all that were run",
            autocompletion=suite_names,
        ),
    ] = None,
    folder: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Tell how many cells are done, failed and missing by method, and the means so far.

    Example: dv suite status small
    """
    if suite is None:
        _list(Out(json=json))
        return
    from dreamvideo_cli.jobs.suite.shipped import suite_named
    from dreamvideo_cli.jobs.suite.status import results_in
    from dreamvideo_cli.terminal.suites import show_status
    from engine.evaluation.suites.definition import suite_in

    if Path(suite).is_dir() and folder is None:
        found, folder = suite_in(Path(suite)), Path(suite)
        if found is None:
            raise InputError(f"{suite} holds no results of a suite: make some with `dv suite run SUITE --folder DIR`")
    else:
        found = suite_named(suite)
        folder = folder or Path(found.name)
    show_status(found, folder, results_in(folder), Out(json=json))


def _list(out: Out) -> None:
    from registry import Registry

    with Registry.open() as registry:
        rows = [asdict(run) for run in registry.suites.all()]
    out.table(rows, _COLUMNS, id_key="folder", empty="No suite was run yet. Begin with: dv suite run small")

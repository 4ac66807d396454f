"""`dv doctor`: whether everything that dv needs is there and well."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import count_text

_MARKS = {"ok": "ok", "note": "note", "bad": "BAD"}
_COLUMNS = (
    Column("what", "What", style="bold"),
    Column("health", "", lambda health: _MARKS[str(health)]),
    Column("found", "Found", wrap=True),
    Column("advice", "What to do", wrap=True),
)


def doctor(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the registry's lost rows anew from the adapters' folders.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Look at ffmpeg, the disk, the registry, the bases and the devices. Exits with 1 if something is bad.

    A damaged database is set aside by --rebuild, never deleted. Example: dv doctor
    """
    from dreamvideo_cli.jobs.checkups import checkups
    from registry import home

    out = Out(json=json)
    if rebuild:
        _rebuild(home(), out)
        return
    rows = [asdict(checkup) for checkup in checkups(home())]
    out.table(rows, _COLUMNS, id_key="what", empty="")
    if any(row["health"] == "bad" for row in rows):
        raise typer.Exit(ExitCode.FAILED)


def _rebuild(folder: Path, out: Out) -> None:
    from registry.rebuilding import rebuild

    rebuilt = rebuild(folder)
    if rebuilt.set_aside is not None:
        out.note(f"The damaged database is now {rebuilt.set_aside}.")
    for flaw in rebuilt.refused:
        out.warn(flaw)
    ids = [adapter.id for adapter in rebuilt.restored]
    aside = None if rebuilt.set_aside is None else str(rebuilt.set_aside)
    if out.json:
        out.data({"restored": ids, "refused": list(rebuilt.refused), "set_aside": aside})
    for id in () if out.json else ids:
        out.result(id, None)
    out.note(f"{count_text(len(ids), 'adapter')} restored.")
    if rebuilt.refused:
        raise typer.Exit(ExitCode.FAILED)

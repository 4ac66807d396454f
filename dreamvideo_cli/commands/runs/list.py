"""`dv runs`: learning runs, now and before."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.options import JsonOption, LimitOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import age_text

if TYPE_CHECKING:
    from registry import Registry, Run


_COLUMNS = (
    Column("id", "Run", str, "right", style="bold"),
    Column("name", "Name"),
    Column("kind", "Kind"),
    Column("state", "State"),
    Column("reached", "Reached"),
    Column("started_at", "Began", lambda moment: age_text(str(moment)), style="dim"),
    Column("hint", "", wrap=True),
)


def runs(
    context: typer.Context,
    state: Annotated[
        Any, typer.Option("--state", metavar="STATE", help="running, finished, failed or interrupted only.")
    ] = None,
    limit: LimitOption = None,
    names: Annotated[bool, typer.Option("--names", help="Print only the runs' numbers, one a line.")] = False,
    json: JsonOption = False,
) -> None:
    """List learning runs, the newest last: running, finished, failed or interrupted.

    Example: dv runs --state interrupted
    """
    from registry import Registry

    if context.invoked_subcommand is not None:
        return
    if state not in (None, "running", "finished", "failed", "interrupted"):
        raise typer.BadParameter(f"{state!r} is no state: running, finished, failed or interrupted.")
    with Registry.open() as registry:
        every = registry.runs.all()
        newest = {run.name: run.id for run in every}
        found = [run for run in every if state in (None, run.state)][-(limit or 0) :]
        rows = [_data(run, _resumable(registry, run) and newest[run.name] == run.id) for run in found]
    empty = "No run yet. Learn something with: dv subject learn NAME ..." if state is None else f"No run is {state}."
    Out(json=json).table(rows, _COLUMNS, id_key="id", names=names, empty=empty)


def _resumable(registry: Registry, run: Run) -> bool:
    return run.state in ("failed", "interrupted") and registry.run_folder(run.name).is_dir()


def _data(run: Run, resumable: bool) -> dict[str, Any]:
    reached = f"{run.part} {run.step}/{run.steps}" if run.part is not None else ""
    hint = f"dv runs resume {run.name}" if resumable else run.adapter or run.message or ""
    return {**asdict(run), "reached": reached, "hint": hint}

"""`dv runs`: learning runs, now and before."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.options import JsonOption, LimitOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import age_text
from engine.errors import InputError

if TYPE_CHECKING:
    from registry import Registry, Run

app = typer.Typer(help="Learning runs: list, log, resume, stop.")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's number, or a name: its newest run.")]
_COLUMNS = (
    Column("id", "Run", str, "right", style="bold"),
    Column("name", "Name"),
    Column("kind", "Kind"),
    Column("state", "State"),
    Column("reached", "Reached"),
    Column("started_at", "Began", lambda moment: age_text(str(moment)), style="dim"),
    Column("hint", "", wrap=True),
)


@app.callback(invoke_without_command=True)
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


@app.command("log")
def log(run: RunArgument) -> None:
    """Print what a run wrote down, and its error if it failed.

    Example: dv runs log chowchow
    """
    from registry import Registry

    with Registry.open() as registry:
        found = registry.runs.find(run)
        file = registry.runs.log_of(found.id)
    if not file.is_file():
        raise InputError(f"run {found.id} of {found.name} has no log: {file} isn't there")
    Out().result(file.read_text(encoding="utf-8", errors="replace").rstrip("\n"), None)


@app.command("resume")
def resume(run: RunArgument, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Go on with an unfinished run, just as its learn command with --resume would.

    Example: dv runs resume chowchow
    """
    from dreamvideo_cli.jobs.learning import Choices, learn
    from dreamvideo_cli.jobs.requests import load_request, new_request
    from registry import Registry, check_name

    with Registry.open() as registry:
        name = registry.runs.find(run).name if run.isascii() and run.isdigit() else check_name(run)
        stored = load_request(registry.run_folder(name))
    if stored is None:
        raise InputError(f"there is no unfinished run of {name} to resume. See: dv runs")
    learn(new_request(stored.kind, name, None, {}, {}), Choices(resume=True), Out(json=json, quiet=quiet))


@app.command("stop")
def stop(run: RunArgument, quiet: QuietOption = False) -> None:
    """Ask a running run to stop, as Ctrl-C would: it keeps its snapshot and can be resumed.

    Example: dv runs stop chowchow
    """
    from registry import Registry

    out = Out(quiet=quiet)
    with Registry.open() as registry:
        found = registry.runs.find(run)
        if found.state != "running":
            raise InputError(f"run {found.id} of {found.name} isn't running: it is {found.state}")
        registry.runs.ask_to_stop(found)
    out.note(f"Asked run {found.id} of {found.name} to stop; it will within seconds, at the end of a step.")


def _resumable(registry: Registry, run: Run) -> bool:
    return run.state in ("failed", "interrupted") and registry.run_folder(run.name).is_dir()


def _data(run: Run, resumable: bool) -> dict[str, Any]:
    reached = f"{run.part} {run.step}/{run.steps}" if run.part is not None else ""
    hint = f"dv runs resume {run.name}" if resumable else run.adapter or run.message or ""
    return {**asdict(run), "reached": reached, "hint": hint}

"""`dv runs resume`: go on with an unfinished run."""

from __future__ import annotations

from dreamvideo_cli.commands.runs.options import RunArgument
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError


def resume(run: RunArgument, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Go on with an unfinished run, just as its own command with --resume would.

    Example: dv runs resume chowchow
    """
    from dreamvideo_cli.jobs.requests import load_request, new_request
    from dreamvideo_cli.terminal.learning import run_learning
    from dreamvideo_cli.terminal.tuning import run_tuning
    from registry import Registry, check_name

    with Registry.open() as registry:
        name = registry.runs.find(run).name if run.isascii() and run.isdigit() else check_name(run)
        stored = load_request(registry.run_folder(name))
    if stored is None:
        raise InputError(f"there is no unfinished run of {name} to resume. See: dv runs")
    carry_out = run_tuning if stored.kind == "base" else run_learning
    carry_out(new_request(stored.kind, name, None, {}, {}), Out(json=json, quiet=quiet), resume=True)

"""`dv runs stop`: ask a run to stop."""

from __future__ import annotations

from dreamvideo_cli.commands.runs.options import RunArgument
from dreamvideo_cli.terminal.options import QuietOption
from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError


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

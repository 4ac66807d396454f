"""`dv runs log`: what a run wrote down."""

from __future__ import annotations

from dreamvideo_cli.commands.runs.options import RunArgument
from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError


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

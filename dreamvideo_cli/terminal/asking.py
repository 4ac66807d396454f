"""Asking before something goes: a person, or nobody."""

from __future__ import annotations

import typer

from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError


def ask(out: Out, question: str) -> None:
    """Go on after a yes; end the command, without an error, after a no. Raises `InputError` with nobody to ask."""
    if not out.can_ask:
        raise InputError("nothing was removed: without a terminal to ask on, or with --json, add --yes")
    if not out.confirm(question):
        out.note("Nothing was removed.")
        raise typer.Exit(0)

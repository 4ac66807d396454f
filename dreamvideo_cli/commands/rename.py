"""`dv rename`: another name for an adapter."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.rows import adapter_data
from engine.errors import InputError


def rename(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A name, of all its versions.", autocompletion=adapter_names())
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A name that was never used.")],
    json: JsonOption = False,
) -> None:
    """Rename an adapter with all its versions. Numbers stay, and those of the old name aren't used again.

    Example: dv rename chowchow rex
    """
    from registry import Registry

    if "@" in old or "@" in new:
        raise InputError("a rename is of all versions of a name: leave out the @")
    out = Out(json=json)
    with Registry.open() as registry:
        after = registry.rename(old, new)
    if json:
        out.data([adapter_data(adapter) for adapter in after])
    for adapter in () if json else after:
        out.result(adapter.id, None)

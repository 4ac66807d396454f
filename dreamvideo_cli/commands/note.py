"""`dv note`: a user's note on an adapter."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal.options import AnyAdapterArgument, JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.rows import label_data


def note(
    name: AnyAdapterArgument,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="An empty text takes the note away.")] = None,
    json: JsonOption = False,
) -> None:
    """Write a note on an adapter, or print the one there is.

    Example: dv note chowchow@2 "sharp ears, but the tail is too long"
    """
    from registry import Registry

    out = Out(json=json)
    with Registry.open() as registry:
        adapter = registry.find(name)
        said = registry.labels(adapter) if text is None else registry.set_note(adapter, text)
    if json or said.note is not None:
        out.result(said.note or "", label_data(adapter, said))

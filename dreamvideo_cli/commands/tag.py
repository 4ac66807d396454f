"""`dv tag`: a user's words for an adapter."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal.options import AnyAdapterArgument, JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.rows import label_data
from engine.errors import InputError


def tag(
    name: AnyAdapterArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="TAGS", help="Words, written as names are.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
    json: JsonOption = False,
) -> None:
    """Tag an adapter, and print its tags. What is tagged stays when old versions are pruned.

    Example: dv tag chowchow@2 best film
    """
    from registry import Registry

    if remove and not tags:
        raise InputError("--remove needs the tags to take away")
    out = Out(json=json)
    with Registry.open() as registry:
        adapter = registry.find(name)
        change = registry.remove_tags if remove else registry.add_tags
        said = change(adapter, tags) if tags else registry.labels(adapter)
    if json:
        out.data(label_data(adapter, said))
    for one in () if json else said.tags:
        out.result(one, None)

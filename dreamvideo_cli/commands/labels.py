"""`dv rename`, `dv tag`, `dv note`: what an adapter is called, and what a user says of it."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import AnyAdapterArgument, JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.rows import adapter_data, label_data
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

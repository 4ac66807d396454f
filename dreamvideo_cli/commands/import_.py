"""`dv import`: adapters from an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.terminal.options import DryRunOption, JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.terminal.rows import adapter_data
from dreamvideo_cli.wording import bytes_text

if TYPE_CHECKING:
    pass


_PACKED = (
    Column("id", "Name", style="bold"),
    Column("bytes", "Size", lambda size: bytes_text(int(str(size))), "right"),
    Column("file_hash", "SHA-256", style="dim"),
)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What dv export wrote.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMES", help="Only these, as NAME or NAME@N.", show_default="all in it"),
    ] = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Another name for it.")] = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take in adapters that were exported, and print their ids here. All are checked before the first comes in.

    One that is here already stays as it is. Example: dv import for-a-friend.dvpack
    """
    from registry import Registry
    from registry.packing import read_manifest

    out = Out(json=json, quiet=quiet)
    if dry_run:
        rows = [
            {"id": each.id, "bytes": sum(each.files.values()), "file_hash": each.file_hash}
            for each in read_manifest(file).adapters
        ]
        out.table(rows, _PACKED, id_key="id", empty=f"There is no adapter in {file}.")
        return
    with Registry.open() as registry:
        imported = registry.import_from(file, only=names or (), name=name)
    if json:
        out.data([{"was": each.was, "is_new": each.is_new, **adapter_data(each.adapter)} for each in imported])
    for each in () if json else imported:
        out.result(each.adapter.id, None)
        if not each.is_new:
            out.note(f"{each.was} was here already, as {each.adapter.id}")
        elif each.was != each.adapter.id:
            out.note(f"{each.was} became {each.adapter.id}")

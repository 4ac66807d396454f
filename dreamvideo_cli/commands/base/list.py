"""`dv base list`: the bases."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal.base_rows import base_rows
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Column, Out


def _shortened(fingerprint: object) -> str:
    from dreamvideo_cli.jobs.bases import SHORT

    return str(fingerprint or "")[:SHORT]


_COLUMNS = (
    Column("default", "", lambda default: "*" if default else ""),
    Column("name", "Name", style="bold"),
    Column("model", "Model", wrap=True),
    Column("image_encoder", "Image encoder", lambda place: "in the model" if place is None else str(place), wrap=True),
    Column("tuned_from", "Tuned from", lambda name: str(name or "")),
    Column("fingerprint", "Fingerprint", _shortened, style="dim"),
)


def list_bases(
    names: Annotated[bool, typer.Option("--names", help="Print only names, one a line.")] = False,
    json: JsonOption = False,
) -> None:
    """List the bases; the default has a star.

    Example: dv base list
    """
    from registry import Registry

    with Registry.open() as registry:
        rows = base_rows(registry)
    Out(json=json).table(rows, _COLUMNS, id_key="name", names=names, empty="")

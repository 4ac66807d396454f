"""`dv list`: what was learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.terminal.options import (
    LARGEST_LIMIT,
    JsonOption,
    SortKey,
)
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.terminal.rows import adapter_data, label_data
from dreamvideo_cli.wording import age_text, bytes_text
from engine.prompts import check_text

_PAGE = 50


_COLUMNS = (
    Column("id", "Name", style="bold"),
    Column("kind", "Kind"),
    Column("base_name", "Base"),
    Column("method", "Method"),
    Column("steps", "Steps", lambda steps: f"{steps:,}", "right"),
    Column("size", "Size", lambda size: bytes_text(int(str(size))), "right"),
    Column("ended_at", "Age", lambda moment: age_text(str(moment)), style="dim"),
    Column("tags", "Tags", lambda tags: ", ".join(tags) if isinstance(tags, list) else "", wrap=True),
)


def list_adapters(
    kind: Annotated[AdapterKind | None, typer.Option("--kind", help="Only subjects, or only motions.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="PATTERN", help="Only these; * and ? as in a shell.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="BASE", help="Only those learnt on it.")] = None,
    method: Annotated[str | None, typer.Option("--method", metavar="METHOD", help="Only those learnt by it.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only those with it; repeatable.")
    ] = None,
    sort: Annotated[
        SortKey | None, typer.Option("--sort", help="What to sort by; age has the newest last.", show_default="age")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, max=LARGEST_LIMIT, metavar="N", help="Only the N newest.",
            show_default=f"{_PAGE} on a terminal, else all",
        ),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Print only names, one a line.")] = False,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """List what was learnt, the newest last.

    Example: dv list --kind subject --tag best --sort size
    """
    from registry import Catalog, Query

    for option, text in (("--name", name), ("--base", base), ("--method", method)):
        check_text(text or "", option)
    for each in tag or ():
        check_text(each, "--tag")
    out = Out(json=json)
    page = _PAGE if limit is None and not names and out.is_for_eyes else limit
    query = Query(
        kind=kind, name=name, base=base, method=method, tags=tuple(tag or ()), sort=sort or "age", reverse=reverse,
        limit=page,
    )  # fmt: skip
    with Catalog.open() as catalog:
        found = catalog.adapters(query)
        left_out = catalog.count(replace(query, limit=None)) - len(found) if limit is None else 0
    rows = [{**adapter_data(adapter), **label_data(adapter, labels)} for adapter, labels in found]
    filtered = any((name, base, method, tag))
    thing = kind or "adapter"
    empty = f"No {thing} yet. Learn one with: dv {kind or 'subject'} learn NAME ..."
    empty = f"No {thing} is like that. See all with: dv list" if filtered else empty
    columns = _COLUMNS if any(row["tags"] for row in rows) else _COLUMNS[:-1]
    out.table(rows, columns, id_key="id", names=names, empty=empty)
    if left_out:
        out.note(f"{left_out:,} older: all of them with --limit {len(found) + left_out}, or through a pipe.")

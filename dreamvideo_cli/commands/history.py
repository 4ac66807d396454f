"""`dv history`: the videos that were composed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import JsonOption, LimitOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import age_text

if TYPE_CHECKING:
    from registry import Composition

_COLUMNS = (
    Column("prompt", "Prompt", wrap=True),
    Column("subject", "Subject", lambda name: str(name or "")),
    Column("motion", "Motion", lambda name: str(name or "")),
    Column("seed", "Seed", str, "right"),
    Column("file", "File", wrap=True),
    Column("made_at", "Age", lambda moment: age_text(str(moment)), style="dim"),
)


def history(
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter", metavar="NAME[@N[:STEP]]", help="Only videos made with it.", autocompletion=adapter_names()
        ),
    ] = None,
    limit: LimitOption = None,
    names: Annotated[bool, typer.Option("--names", help="Print only the files' paths, one a line.")] = False,
    json: JsonOption = False,
) -> None:
    """List the videos that were composed, the newest last. Make one again with dv compose --from FILE.

    Example: dv history --adapter chowchow --limit 10
    """
    from registry import AdapterAtStep, Registry

    with Registry.open() as registry:
        chosen = registry.find_at(adapter) if adapter is not None else None
        steps = registry.kept_steps(chosen) if chosen is not None and not isinstance(chosen, AdapterAtStep) else []
        made = registry.compositions.all(adapter=chosen, steps=steps, limit=limit)
    rows = []
    for each in made:
        there = Path(each.path).is_file()
        adapters = [asdict(adapter) for adapter in each.adapters]
        file = each.path if there else f"{each.path} (gone)"
        rows.append({**asdict(each), **_by_kind(each), "adapters": adapters, "exists": there, "file": file})
    if json:
        rows = [{key: value for key, value in row.items() if key != "file"} for row in rows]
    empty = f"No video was made with {chosen.id}." if chosen is not None else "No video yet. Make one with: dv compose"
    Out(json=json).table(rows, _COLUMNS, id_key="path", names=names, empty=empty)


def _by_kind(made: Composition) -> dict[str, str | None]:
    """The subject and the motion of a video, and their hashes; of several of a kind, all."""
    values: dict[str, str | None] = {}
    for kind in ("subject", "motion"):
        of_kind = [adapter for adapter in made.adapters if adapter.role == kind]
        values[kind] = ", ".join(adapter.name for adapter in of_kind) or None
        values[f"{kind}_hash"] = ", ".join(adapter.file_hash for adapter in of_kind) or None
    return values

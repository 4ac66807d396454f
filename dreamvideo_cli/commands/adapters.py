"""`dv list`, `dv show`, `dv rm`: what was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.asking import ask
from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import (
    LARGEST_LIMIT,
    AdapterKind,
    AnyAdapterArgument,
    DryRunOption,
    JsonOption,
    QuietOption,
    SortKey,
    YesOption,
)
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.terminal.rows import adapter_data, label_data
from dreamvideo_cli.wording import age_text, bytes_text, count_text, duration_between, size_text, value_text
from engine.errors import InputError
from engine.prompts import check_text

if TYPE_CHECKING:
    from registry import Adapter, Labels, Registry, Source

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


def show(name: AnyAdapterArgument, json: JsonOption = False) -> None:
    """Show all that is known of an adapter: tags and note, settings and where they came from, sources, hashes.

    Example: dv show chowchow@2
    """
    from registry import Registry

    with Registry.open() as registry:
        adapter = registry.find(name)
        sources = registry.sources(adapter)
        labels = registry.labels(adapter)
        folder = registry.path(adapter)
    data = {**adapter_data(adapter, sources), **label_data(adapter, labels), "folder": str(folder)}
    Out(json=json).page(_sections(adapter, sources, labels, str(folder)), data)


def remove(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME@N", help="Adapters, with their versions.", autocompletion=adapter_names()),
    ],
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Every version of the names given.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove adapters and their files. Version numbers aren't used again.

    Example: dv rm chowchow@1
    """
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry:
        doomed = _resolved(registry, names, all_versions=all_versions)
        ids, size = [adapter.id for adapter in doomed], sum(adapter.size for adapter in doomed)
        for adapter in doomed:
            out.note(f"{adapter.id}  {adapter.kind}  {bytes_text(adapter.size)}")
        if dry_run:
            _report(out, ids, size, "would be removed", removed=False)
            return
        if not yes:
            ask(out, f"Remove {count_text(len(doomed), 'adapter')} ({bytes_text(size)})?")
        freed = registry.remove(doomed)
    _report(out, ids, freed, "removed", removed=True)


def _resolved(registry: Registry, names: Sequence[str], *, all_versions: bool) -> list[Adapter]:
    """Every adapter meant, before the first is touched. Raises the registry's errors and `InputError`."""
    from registry import AdapterSpec

    found: dict[str, Adapter] = {}
    for name in names:
        spec = AdapterSpec.parse(name)
        newest = registry.find(name)
        if spec.version is not None and not all_versions:
            found[newest.id] = newest
        elif spec.version is None and all_versions:
            found |= {adapter.id: adapter for adapter in registry.adapters(name=newest.name)}
        elif all_versions:
            raise InputError(f"{name} is one version: leave out --all-versions, or the @{spec.version}")
        else:
            raise InputError(
                f"which version of {name}? Write {newest.id} for the newest, or --all-versions for all of them"
            )
    return list(found.values())


def _report(out: Out, ids: list[str], size: int, what: str, *, removed: bool) -> None:
    if out.json:
        out.data({"adapters": ids, "bytes": size, "removed": removed})
        return
    for id in ids:
        out.result(id, None)
    out.note(f"{count_text(len(ids), 'adapter')} {what}, {bytes_text(size)}" + (" freed" if removed else ""))


def _sections(
    adapter: Adapter, sources: Sequence[Source], labels: Labels, folder: str
) -> list[tuple[str, dict[str, object]]]:
    about: dict[str, object] = {
        "Kind": adapter.kind,
        "Tags": ", ".join(labels.tags) or None,
        "Note": labels.note,
        "Class": adapter.class_word,
        "Prompt": adapter.prompt,
        "Method": adapter.method,
        "Base": f"{adapter.base_name} ({adapter.base_fingerprint})",
        "Steps": f"{adapter.steps:,}, final loss {adapter.final_loss:.4f}",
        "Learnt": f"{age_text(adapter.ended_at)}, in {duration_between(adapter.started_at, adapter.ended_at)}",
        "Device": f"{adapter.device}, {adapter.dtype}",
        "Made by": ", ".join(
            [f"dv {adapter.dv_version}", *(f"{k} {v}" for k, v in adapter.library_versions.items() if v)]
        ),
        "Folder": f"{folder} ({bytes_text(adapter.size)})",
        "SHA-256": adapter.file_hash,
    }
    settings: dict[str, object] = {
        name: _with_origin(value, adapter.origins.get(name)) for name, value in adapter.hyperparameters.items()
    }
    files: dict[str, object] = {
        source.path: f"{source.role}, {size_text((source.width, source.height))}, "
        f"{count_text(source.frames, 'frame')}, {bytes_text(source.bytes)}, {source.sha256[:12]}"
        for source in sources
    }
    known = {name: value for name, value in about.items() if value is not None}
    return [(adapter.id, known), ("Settings", settings), ("Sources", files)]


def _with_origin(value: Any, origin: str | None) -> str:
    return f"{value_text(value)}  ({origin})" if origin else value_text(value)

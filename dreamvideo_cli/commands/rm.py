"""`dv rm`: adapters, out of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.terminal.asking import ask
from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import (
    DryRunOption,
    JsonOption,
    QuietOption,
    YesOption,
)
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import bytes_text, count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from registry import Adapter, Registry


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

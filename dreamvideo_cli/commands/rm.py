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
        typer.Argument(
            metavar="NAME@N[:STEP]",
            help="Adapters, with their versions, or kept steps.",
            autocompletion=adapter_names(),
        ),
    ],
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Every version of the names given.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove adapters and their files, or steps that were kept of them. Version numbers aren't used again.

    Example: dv rm chowchow@1
    """
    from registry import AdapterAtStep, Registry

    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry:
        doomed = _resolved(registry, names, all_versions=all_versions)
        ids, size = [adapter.id for adapter in doomed], sum(adapter.size for adapter in doomed)
        for adapter in doomed:
            out.note(f"{adapter.id}  {adapter.kind}  {bytes_text(adapter.size)}")
        if dry_run:
            _report(out, ids, size, f"{_counted(doomed)} would be removed", removed=False)
            return
        if not yes:
            ask(out, f"Remove {_counted(doomed)} ({bytes_text(size)})?")
        steps = [each for each in doomed if isinstance(each, AdapterAtStep)]
        whole = [each for each in doomed if not isinstance(each, AdapterAtStep)]
        freed = registry.remove_steps(steps) + registry.remove(whole)
    _report(out, ids, freed, f"{_counted(doomed)} removed", removed=True)


def _resolved(registry: Registry, names: Sequence[str], *, all_versions: bool) -> list[Adapter]:
    """Every adapter meant, before the first is touched. Raises the registry's errors and `InputError`."""
    from registry import AdapterSpec

    found: dict[str, Adapter] = {}
    for name in names:
        spec = AdapterSpec.parse(name)
        newest = registry.find_at(name)
        if spec.version is not None and not all_versions:
            found[newest.id] = newest
        elif spec.version is None and spec.step is None and all_versions:
            found |= {adapter.id: adapter for adapter in registry.adapters(name=newest.name)}
        elif all_versions:
            raise InputError(f"{name} is one version: leave out --all-versions, or write {spec.name}")
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
    out.note(f"{what}, {bytes_text(size)}" + (" freed" if removed else ""))


def _counted(doomed: Sequence[Adapter]) -> str:
    """How many adapters, and how many kept steps."""
    from registry import AdapterAtStep

    steps = sum(isinstance(each, AdapterAtStep) for each in doomed)
    counts = [count_text(len(doomed) - steps, "adapter")] if len(doomed) > steps else []
    return " and ".join([*counts, *([count_text(steps, "kept step")] if steps else [])])

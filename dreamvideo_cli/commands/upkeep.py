"""`dv verify`, `dv prune`: whether all is well, and what may go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.asking import ask
from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import DryRunOption, JsonOption, QuietOption, YesOption
from dreamvideo_cli.terminal.output import Column, Out, grid
from dreamvideo_cli.terminal.quantities import age_from_text, bytes_from_text
from dreamvideo_cli.wording import age_text, bytes_text, count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from registry import Registry
    from registry.checking import Finding
    from registry.pruning import Doomed, PrunePlan, What

_FINDINGS = (
    Column("adapter", "Adapter", style="bold"),
    Column("state", "State"),
    Column("source", "Source", lambda source: "" if source is None else str(source), wrap=True),
    Column("detail", "Detail", wrap=True),
)
_DOOMED = (
    Column("id", "What", style="bold", wrap=True),
    Column("what", "Sort"),
    Column("bytes", "Size", lambda size: bytes_text(int(str(size))), "right"),
    Column("moment", "Age", lambda moment: age_text(str(moment)), style="dim"),
)


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAMES", help="Adapters, as NAME (all versions) or NAME@N.", autocompletion=adapter_names(),
            show_default="all",
        ),
    ] = None,
    sources: Annotated[bool, typer.Option("--sources/--no-sources", help="Look at what was learnt from too.")] = True,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:  # fmt: skip
    """Hash adapters and their sources again. Exits with 1 if an adapter is damaged or a source was changed.

    A source that was moved or deleted is told, and is no error. Example: dv verify chowchow
    """
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry:
        adapters = [a for name in names for a in _meant(registry, name)] if names else registry.adapters()
        findings = list(registry.check(adapters, _hash_of if sources else None))
    rows = [_finding_data(finding) for finding in findings]
    told = [row for row in rows if json or row["state"] != "ok"]
    empty = (
        f"All is as it was: {count_text(len(adapters), 'adapter')}, {count_text(len(rows) - len(adapters), 'source')}."
    )
    out.table(told, _FINDINGS, id_key="adapter", empty=empty)
    if any(finding.is_mismatch for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def prune(
    versions: Annotated[bool, typer.Option("--versions", help="Old versions, but for tagged ones.")] = False,
    snapshots: Annotated[bool, typer.Option("--snapshots", help="Unfinished runs that nobody works on.")] = False,
    orphans: Annotated[bool, typer.Option("--orphans", help="Files that killed processes left.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Rows and logs of runs that can't be resumed.")] = False,
    caches: Annotated[bool, typer.Option("--caches", help="What dv can work out again.")] = False,
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="N", help="Newest versions that stay.")] = 1,
    older_than: Annotated[
        Any, typer.Option("--older-than", metavar="AGE", parser=age_from_text, help="Only what is older: 30d, 12h.")
    ] = None,
    max_size: Annotated[
        Any,
        typer.Option(
            "--max-size", metavar="SIZE", parser=bytes_from_text,
            help="Old versions and snapshots only until all together have this size, as 5GB; the oldest go first.",
        ),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:  # fmt: skip
    """Remove what isn't needed, after showing it: without a choice --orphans and --failed.

    Example: dv prune --versions --keep 2 --older-than 30d --dry-run
    """
    from registry import Registry
    from registry.pruning import Limits

    flags: dict[What, bool] = {
        "version": versions, "snapshot": snapshots, "orphan": orphans, "run": failed, "cache": caches,
    }  # fmt: skip
    whats = frozenset(what for what, wanted in flags.items() if wanted) or frozenset[Any](("orphan", "run"))
    if max_size is not None and not whats & {"version", "snapshot"}:
        raise InputError(
            "--max-size says how much may stay of old versions and snapshots: add --versions or --snapshots"
        )
    out = Out(json=json, quiet=quiet)
    limits = Limits(whats=whats, keep=keep, older_than=older_than, at_most=max_size, caches=_caches())
    with Registry.open() as registry:
        plan = registry.pruner.plan(limits)
        _show(out, plan)
        if dry_run or not plan.doomed:
            _report(out, plan, plan.bytes, removed=False)
            return
        if not yes:
            ask(out, f"Remove {count_text(len(plan.doomed), 'thing')} ({bytes_text(plan.bytes)})?")
        freed = registry.pruner.carry_out(plan)
    _report(out, plan, freed, removed=True)


def _meant(registry: Registry, name: str) -> list[Any]:
    found = registry.find(name)
    return [found] if "@" in name else registry.adapters(name=found.name)


def _hash_of(path: Path) -> str:
    """As plans hash sources, so that folders of frames can be compared too."""
    from engine.data.files import sha256_of

    try:
        return sha256_of(path)
    except InputError as error:
        raise ValueError(str(error)) from error


def _finding_data(finding: Finding) -> dict[str, object]:
    source = finding.source.path if finding.source is not None else None
    return {"adapter": finding.adapter.id, "source": source, "state": finding.state, "detail": finding.detail}


def _caches() -> tuple[Path, ...]:
    from platformdirs import user_cache_path

    return (user_cache_path("dv"),)


def _show(out: Out, plan: PrunePlan) -> None:
    if plan.doomed:
        out.aside(grid([_doomed_data(each) for each in plan.doomed], _DOOMED))
    if plan.unknown:
        out.warn(
            f"{count_text(len(plan.unknown), 'folder')} of adapters that this registry doesn't know stay where they "
            f"are, such as {plan.unknown[0]}. Take them in with: dv doctor --rebuild"
        )


def _doomed_data(each: Doomed) -> dict[str, object]:
    return {"id": each.id, "what": each.what, "bytes": each.bytes, "moment": each.moment, "path": str(each.path)}


def _report(out: Out, plan: PrunePlan, size: int, *, removed: bool) -> None:
    if out.json:
        items = [_doomed_data(each) for each in plan.doomed]
        out.data({"items": items, "unknown": [str(path) for path in plan.unknown], "bytes": size, "removed": removed})
        return
    for each in plan.doomed:
        out.result(each.id, None)
    if not plan.doomed:
        out.note("There is nothing to prune.")
    elif removed:
        out.note(f"{count_text(len(plan.doomed), 'thing')} removed, {bytes_text(size)} freed")
    else:
        out.note(f"{count_text(len(plan.doomed), 'thing')} would be removed, {bytes_text(size)}")

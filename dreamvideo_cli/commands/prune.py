"""`dv prune`: what may go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.asking import ask
from dreamvideo_cli.terminal.options import DryRunOption, JsonOption, QuietOption, YesOption
from dreamvideo_cli.terminal.output import Column, Out, grid
from dreamvideo_cli.terminal.quantities import age_from_text, bytes_from_text
from dreamvideo_cli.wording import age_text, bytes_text, count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from registry.pruning import Doomed, PrunePlan, What


_DOOMED = (
    Column("id", "What", style="bold", wrap=True),
    Column("what", "Sort"),
    Column("bytes", "Size", lambda size: bytes_text(int(str(size))), "right"),
    Column("moment", "Age", lambda moment: age_text(str(moment)), style="dim"),
)


def prune(
    versions: Annotated[bool, typer.Option("--versions", help="Old versions, but for tagged ones.")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Steps that --keep-every kept of adapters.")] = False,
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
            help="Old versions, kept steps and snapshots only until all together have this size, as 5GB; the oldest "
            "go first.",
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
    from registry.pruning import BY_SIZE, Limits

    flags: dict[What, bool] = {
        "version": versions, "step": steps, "snapshot": snapshots, "orphan": orphans, "run": failed, "cache": caches,
    }  # fmt: skip
    whats = frozenset(what for what, wanted in flags.items() if wanted) or frozenset[Any](("orphan", "run"))
    if max_size is not None and not whats & BY_SIZE:
        raise InputError(
            "--max-size says how much may stay of old versions, kept steps and snapshots: add --versions, --steps or "
            "--snapshots"
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

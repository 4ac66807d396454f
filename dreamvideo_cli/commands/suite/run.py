"""`dv suite run`: every cell of a suite."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from dreamvideo_cli.commands.suite.options import FolderOption, ShardOption, SuiteArgument
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import (
    DeviceOption,
    DryRunOption,
    JsonOption,
    OnOption,
    QuietOption,
    RayAddressOption,
    WorkersOption,
)
from dreamvideo_cli.terminal.output import Out


def run(
    suite: SuiteArgument,
    folder: FolderOption = None,
    shard: ShardOption = None,
    on: OnOption = "here",
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Learn, compose and score every cell: methods x subjects x motions x prompts x seeds.

    The whole suite is checked, and its cost told, before anything starts. An adapter that was learnt before from the
    same files by the same settings isn't learnt again. What fails doesn't stop the rest. Run it again to go on: a
    video that is there, unchanged, is kept. docs/suites.md says how a suite is written.

    With --on ray, adapters are learnt and cells made at once, by workers on this machine or on a cluster.
    With --shard, several processes share a suite, on one machine or many; when all are done, the same command without
    --shard puts their results together. docs/cluster.md has loops and job arrays for it.

    Example: dv suite run small
    """
    from dreamvideo_cli.jobs.execution.choosing import Execution
    from dreamvideo_cli.jobs.suite.running import run_cells
    from dreamvideo_cli.jobs.suite.shards import shard_from
    from dreamvideo_cli.jobs.suite.shipped import suite_named
    from dreamvideo_cli.terminal.reporting import Reporter
    from dreamvideo_cli.terminal.suites import cost_data, show_end, show_status
    from registry import Registry

    execution = Execution(on, ray_address, workers)
    out = Out(json=json, quiet=quiet)
    part = shard_from(shard) if shard is not None else None
    read = suite_named(suite)
    folder = folder or Path(read.name)
    with Registry.open() as registry, Reporter(out) as reporter:
        try:
            plan = run_cells(
                read, folder, registry, shard=part, execution=execution, device=device, dry_run=dry_run,
                on_event=reporter,
            )  # fmt: skip
        except KeyboardInterrupt as stop:
            which = ["--shard", shard] if shard is not None else []
            which += execution.arguments
            command = shlex.join(["dv", "suite", "run", suite, "--folder", str(folder), *which])
            stop.add_note(f"the suite stopped; the same command goes on: {command}")
            raise
    if dry_run:
        if json:
            out.data(cost_data(plan))
        return
    show_status(read, folder, plan.results, out)
    if show_end(plan, out):
        raise typer.Exit(ExitCode.FAILED)

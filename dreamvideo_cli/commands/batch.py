"""`dv batch`: many compositions from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.jobs.batch.files import STDIN, Format
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


def batch(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .csv, .jsonl or .toml file; - is stdin.")],
    format: Annotated[
        Format | None, typer.Option("--format", help="What FILE is.", show_default="by its suffix")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="For the manifest, and videos without an output of their own.",
            show_default="named after FILE",
            file_okay=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that aren't this batch's.")] = False,
    on: OnOption = "here",
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compose a video for every row of a file, each base loaded once, and print the paths.

    Columns are options of compose without the dashes: prompt, subject, motion, seed, output and so on.
    TOML has tables: a job is a row, a grid every combination of its lists, and defaults hold for all of them.
    An output may hold {row}, {subject}, {motion} and {seed}.

    Every row is checked before the first is made, and a row that fails doesn't stop the others.
    Run it again to go on: a result that is there and whole is kept. DIR/manifest.jsonl tells how each row went.
    --device is for rows that name none. With --on ray, rows are made at once, by a worker a GPU or core, on this
    machine or on a cluster: docs/cluster.md.

    Example: dv batch shots.csv --folder shots
    """
    from dreamvideo_cli.jobs.batch.files import read_rows
    from dreamvideo_cli.jobs.batch.manifest import MANIFEST
    from dreamvideo_cli.jobs.batch.running import run_rows
    from dreamvideo_cli.jobs.execution.choosing import Execution
    from dreamvideo_cli.terminal.reporting import Reporter
    from registry import Registry

    execution = Execution(on, ray_address, workers)
    out = Out(json=json, quiet=quiet)
    rows = read_rows(file, format)
    folder = folder or Path("batch" if file == STDIN else Path(file).stem)
    with Registry.open() as registry, Reporter(out) as reporter:
        plan = run_rows(
            rows, folder, registry, force=force, execution=execution, device=device, dry_run=dry_run, on_event=reporter
        )
    if json:
        out.data([row.data() for row in plan.rows])
    if dry_run:
        for path in () if json else [file.path for row in plan.waiting for file in row.files]:
            out.result(str(path), None)
        return
    made, kept, failed = (plan.count(state) for state in ("made", "kept", "failed"))
    out.note(f"{made} made, {kept} kept, {failed} failed; how each row went: {folder / MANIFEST}")
    if failed:
        raise typer.Exit(ExitCode.FAILED)

"""`dv batch`: many compositions from one file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.jobs.batch.files import STDIN, Format
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import DeviceOption, DryRunOption, JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import count_text


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
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Rows made at once, each on a GPU of its own.")
    ] = 1,
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
    --device is for rows that name none; with --device cpu, --jobs share the processor.

    Example: dv batch shots.csv --folder shots
    """
    from dreamvideo_cli.jobs.batch.files import read_rows
    from dreamvideo_cli.jobs.batch.running import MANIFEST, carry_out, check, folder_of
    from dreamvideo_cli.jobs.batch.workers import shares
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    rows = read_rows(file, format)
    folder = folder or Path("batch" if file == STDIN else Path(file).stem)
    with folder_of(folder):
        with Registry.open() as registry:
            entries = check(rows, folder, registry, out, force=force, device=device)
        waiting = [entry for entry in entries if entry.state == "waiting"]
        shared = shares(jobs, waiting) if jobs > 1 and waiting else ()
        kept = sum(entry.state == "kept" for entry in entries)
        out.note(f"{count_text(len(entries), 'row')}, {kept} of them there already")
        if dry_run:
            for result in (result for entry in waiting for result in entry.results):
                if not json:
                    out.result(str(result.path), None)
        else:
            carry_out(entries, folder, out, shared)
    if json:
        out.data([entry.data() for entry in entries])
    states = Counter(entry.state for entry in entries)
    if not dry_run:
        counts = f"{states['made']} made, {states['kept']} kept, {states['failed']} failed"
        out.note(f"{counts}; how each row went: {folder / MANIFEST}")
    if states["failed"]:
        raise typer.Exit(ExitCode.FAILED)

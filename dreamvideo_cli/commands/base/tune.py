"""`dv base tune`: a new base from one that there is, and many captioned clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.terminal.options import (
    BaseOption,
    DeviceOption,
    DryRunOption,
    DtypeOption,
    JsonOption,
    QuietOption,
    RestartOption,
    ResumeOption,
    options_of,
)
from dreamvideo_cli.terminal.output import Out
from engine.tuning.settings import TuningConfig


@options_of(TuningConfig, panel="Settings (else the base's recommendation, else those shown here)")
def tune(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the new base.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA", help="A folder of clips with a .txt beside each, or a .csv or .jsonl of path and caption."
        ),
    ] = None,
    base: BaseOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Fine-tune a base on captioned clips, and add what comes of it as a base of its own.

    The base that it is made from stays as it is; adapters that were learnt on it don't fit the new one.
    Example: dv base tune nosigns clips/ --base modelscope --dtype bf16
    """
    from dreamvideo_cli.jobs.requests import given, new_request
    from dreamvideo_cli.terminal.tuning import run_tuning

    about = given(base=base, device=device, dtype=dtype)
    request = new_request("base", name, None if data is None else [data], about, options)
    run_tuning(request, Out(json=json, quiet=quiet), resume=resume, restart=restart, dry_run=dry_run)

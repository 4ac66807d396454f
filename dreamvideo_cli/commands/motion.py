"""`dv motion learn`: a motion from one clip or a few."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.terminal.method_options import MotionMethodOption
from dreamvideo_cli.terminal.options import (
    BaseOption,
    DeviceOption,
    DryRunOption,
    DtypeOption,
    JsonOption,
    NewNameArgument,
    OffloadOption,
    QuietOption,
    RestartOption,
    ResumeOption,
    options_of,
)
from dreamvideo_cli.terminal.output import Out
from engine.methods.dreamvideo import MotionConfig
from engine.methods.table import configs_of

app = typer.Typer(help="Learn motions: playing the guitar, a car's turn.", no_args_is_help=True)


@app.callback()
def motion() -> None:
    """Learn motions: playing the guitar, a car's turn."""


@app.command("learn")
@options_of(
    MotionConfig,
    panel="Settings (else the base's recommendation, else the paper's, shown here)",
    methods=configs_of("motion"),
)
def learn_motion(
    name: NewNameArgument,
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CLIPS", help="Videos, folders of videos, or folders of numbered frames."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="What happens in the clips that have no .txt beside them."),
    ] = None,
    start: Annotated[float | None, typer.Option("--start", metavar="SECONDS", help="Skip what is before.")] = None,
    end: Annotated[float | None, typer.Option("--end", metavar="SECONDS", help="Skip what is after.")] = None,
    source_fps: Annotated[
        float | None, typer.Option("--source-fps", metavar="FPS", help="Rate of numbered frames.", show_default="8")
    ] = None,
    method: MotionMethodOption = None,
    base: BaseOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    offload: OffloadOption = False,
    resume: ResumeOption = False,
    restart: RestartOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Learn a motion from clips, and print the new adapter's id.

    Example: dv motion learn guitar clips/ --prompt "a person is playing guitar"
    """
    from dreamvideo_cli.jobs.requests import given, new_request
    from dreamvideo_cli.terminal.learning import run_learning

    trimming = given(start=start, end=end, source_fps=source_fps)
    about = given(prompt=prompt, method=method, base=base, device=device, dtype=dtype, offload=offload or None)
    request = new_request("motion", name, clips, {**trimming, **about}, options)
    run_learning(request, Out(json=json, quiet=quiet), resume=resume, restart=restart, dry_run=dry_run)

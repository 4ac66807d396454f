"""`dv subject learn`: a subject from a few photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.terminal.method_options import SubjectMethodOption
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
from engine.methods.dreamvideo import SubjectConfig
from engine.methods.table import configs_of

app = typer.Typer(help="Learn subjects: a dog, a toy, a face.", no_args_is_help=True)


@app.callback()
def subject() -> None:
    """Learn subjects: a dog, a toy, a face."""


@app.command("learn")
@options_of(
    SubjectConfig,
    panel="Settings (else the base's recommendation, else the paper's, shown here)",
    methods=configs_of("subject"),
)
def learn_subject(
    name: NewNameArgument,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGES", help="Photographs (JPEG, PNG, WebP, HEIC, ...), or a folder."),
    ] = None,
    class_word: Annotated[
        str | None, typer.Option("--class", metavar="WORD", help="What the subject is, as in: dog.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", metavar="DIR", help="Masks by the images' names; a masks/ beside them is found."),
    ] = None,
    method: SubjectMethodOption = None,
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
    """Learn a subject from images, and print the new adapter's id.

    Example: dv subject learn chowchow photos/ --class dog
    """
    from dreamvideo_cli.jobs.requests import given, new_request
    from dreamvideo_cli.terminal.learning import run_learning

    about = given(
        **{"class": class_word},
        masks=masks,
        method=method,
        base=base,
        device=device,
        dtype=dtype,
        offload=offload or None,
    )
    request = new_request("subject", name, images, about, options)
    run_learning(request, Out(json=json, quiet=quiet), resume=resume, restart=restart, dry_run=dry_run)

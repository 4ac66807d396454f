"""`dv compose`: a video of a prompt, with any subject and any motion that was learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import (
    BaseOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    OffloadOption,
    QuietOption,
    options_of,
)
from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig


@options_of(ComposeConfig, panel="Settings (else the base's recommendation, else the paper's, shown here)")
def compose_videos(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What to show; * or its name is the subject.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A subject, as NAME or NAME@N.", autocompletion=adapter_names("subject")),
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A motion, as NAME or NAME@N.", autocompletion=adapter_names("motion")),
    ] = None,
    appearance: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Picture that guides the look; else one that was learnt from.")
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Make this video again; what else is given is changed."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same video.", show_default="0"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many videos, of seeds from --seed on.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=".mp4, .gif, .webp or .png; {seed} in it is the seed.",
            show_default="named after the prompt",
        ),
    ] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also write the videos' frames side by side.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    allow_other_base: Annotated[
        bool, typer.Option("--allow-other-base", help="Use adapters on a base they weren't made for.")
    ] = False,
    base: BaseOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    offload: OffloadOption = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bytes each time on CUDA too; slower.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Compose a video, and print its path.

    Example: dv compose "a * is playing guitar" --subject chowchow --motion guitar -o out.mp4
    """
    from dreamvideo_cli.jobs.composing import ComposeRequest, compose
    from dreamvideo_cli.jobs.remaking import request_of
    from dreamvideo_cli.terminal.reporting import Reporter
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry, Reporter(out) as reporter:
        before = request_of(again, registry, appearance) if again is not None else None
        if prompt is None and before is None:
            raise InputError('say what to show, as in: dv compose "a dog runs", or give a video with --from')
        before = before or ComposeRequest(prompt or "", dtype="fp32")
        request = replace(
            before, prompt=before.prompt if prompt is None else prompt, subject=subject or before.subject,
            motion=motion or before.motion, appearance=appearance, seed=before.seed if seed is None else seed,
            count=count, output=output, contact_sheet=contact_sheet, force=force, base=base or before.base,
            allow_other_base=allow_other_base, device=device, dtype=dtype or before.dtype,
            deterministic=deterministic, offload=offload, settings={**before.settings, **options},
        )  # fmt: skip
        made = compose(request, registry, reporter)
    if json:
        out.data([file.data() for file in made])

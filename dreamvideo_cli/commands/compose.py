"""`dv compose`: a video of a prompt, with any subject and any motion that was learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import BaseOption, DeviceOption, DtypeOption, JsonOption, QuietOption, options_of
from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig


@options_of(ComposeConfig, panel="Settings (else the base's recommendation, else the paper's, shown here)")
def compose(
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
    from dreamvideo_cli.jobs.composing import Wish, carry_out, prepare
    from dreamvideo_cli.jobs.history import check_picture, wish_of
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry:
        before = wish_of(again, registry) if again is not None else {}
        if again is not None and before["picture"] is not None:
            check_picture(again, before["picture"], appearance)
        prompt = prompt if prompt is not None else before.get("prompt")
        if prompt is None:
            raise InputError('say what to show, as in: dv compose "a dog runs", or give a video with --from')
        wish = Wish(
            prompt=prompt, subject=subject or before.get("subject"), motion=motion or before.get("motion"),
            appearance=appearance, seed=before.get("seed", 0) if seed is None else seed, count=count,
            output=output, contact_sheet=contact_sheet, force=force, base=base or before.get("base"),
            allow_other_base=allow_other_base, device=device, dtype=dtype or before.get("dtype", "fp32"),
            deterministic=deterministic, options={**before.get("settings", {}), **options},
        )  # fmt: skip
        job = prepare(wish, registry, out)
    carry_out(job, out)

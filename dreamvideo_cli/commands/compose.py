"""`dv compose`: a video of a prompt, with any subject and any motion that was learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.completing import adapter_names
from dreamvideo_cli.options import BaseOption, DeviceOption, DtypeOption, JsonOption, QuietOption, options_of
from dreamvideo_cli.output import Out
from engine.methods.dreamvideo import ComposeConfig


@options_of(ComposeConfig, panel="Settings (else the base's recommendation, else the paper's, shown here)")
def compose(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to show; * or its name is the subject.")],
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
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same video.")] = 0,
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
    from dreamvideo_cli.composing import Wish, carry_out, prepare
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    wish = Wish(
        prompt=prompt, subject=subject, motion=motion, appearance=appearance, seed=seed, count=count,
        output=output, contact_sheet=contact_sheet, force=force, base=base, allow_other_base=allow_other_base,
        device=device, dtype=dtype, deterministic=deterministic, options=options,
    )  # fmt: skip
    with Registry.open() as registry:
        job = prepare(wish, registry, out)
    carry_out(job, out)

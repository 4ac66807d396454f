"""`dv eval`: the paper's metrics, and motion, of any video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import DeviceOption, JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out


def evaluate_videos(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Videos, or folders of videos.")],
    prompt: Annotated[
        str | None,
        typer.Option(help="What they should show; * is the subject.", show_default="noted in the video"),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare with the pictures that this subject learnt from.",
            show_default="noted in the video",
            autocompletion=adapter_names("subject"),
        ),
    ] = None,
    references: Annotated[Path | None, typer.Option(metavar="DIR", help="Compare with these pictures instead.")] = None,
    motion: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare with the clips that this motion learnt from.",
            show_default="noted in the video",
            autocompletion=adapter_names("motion"),
        ),
    ] = None,
    clips: Annotated[Path | None, typer.Option(metavar="DIR", help="Compare with these clips instead.")] = None,
    clip: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="CLIP: a folder or hub id.", show_default="the base's own, else ViT-B/32"),
    ] = None,
    dino: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="DINO: a folder or hub id.", show_default="the base's own, else ViT-S/16"),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a table, one row a video.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure videos: text, subject, consistency, motion. docs/evaluation.md says what each figure means.

    What a video of dv's own notes about its making is read from it. --json has the curves over the frames too.
    Example: dv eval walk.mp4
    """
    from dreamvideo_cli.jobs.evaluating import EvalRequest, evaluate
    from dreamvideo_cli.jobs.targets import check_table
    from dreamvideo_cli.terminal.reporting import Reporter
    from dreamvideo_cli.terminal.scores import show_scores
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    if csv is not None:
        check_table(csv, force=force)
    request = EvalRequest(
        videos=tuple(videos), prompt=prompt, subject=subject, references=references, motion=motion, clips=clips,
        clip=clip, dino=dino, device=device,
    )  # fmt: skip
    with Registry.open() as registry, Reporter(out) as reporter:
        scored = evaluate(request, registry, reporter)
    show_scores(scored, csv, out, force=force)

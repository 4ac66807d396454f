"""`dv analyze weights`: how much each kind of layer changes when a base is fine-tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.jobs.analyzing import AnalysisOptions, analyze_weights, check_plot
from dreamvideo_cli.terminal.options import BaseOption, DeviceOption, JsonOption, QuietOption, options_of
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.terminal.pages import ForceOption


def _share(value: object) -> str:
    return f"{float(str(value)):.5f}"


_COLUMNS = (
    Column("parameters", "Fine-tuned", style="bold"),
    Column("kind", "Layers of", lambda kind: str(kind).replace("_", "-")),
    Column("layers", "Layers", str, "right"),
    Column("mean", "Mean Delta", _share, "right"),
    Column("least", "Least", _share, "right"),
    Column("most", "Largest", _share, "right"),
)


@options_of(AnalysisOptions, panel="Settings (else the base's recommendation, else the paper's)")
def weights(
    spatial: Annotated[
        list[Path] | None,
        typer.Option(metavar="IMAGES", help="Fine-tune the spatial parameters on these photographs, or folders."),
    ] = None,
    class_word: Annotated[str | None, typer.Option("--class", metavar="WORD", help="What is on them.")] = None,
    temporal: Annotated[
        list[Path] | None,
        typer.Option(metavar="CLIPS", help="Fine-tune the temporal parameters on these clips, or folders."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="The prompt of clips without a .txt beside them.")] = None,
    plot: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Draw it: a .png or .svg; may be given twice.")
    ] = None,
    force: ForceOption = False,
    base: BaseOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Fine-tune only the spatial, or the temporal, parameters, and tell how much each kind of layer changed.

    Delta of a layer is ||new - old|| / ||old|| (the paper's section 3.3 and Fig. 4).
    Example: dv analyze weights --spatial photos/ --class dog --plot delta.png
    """
    from dreamvideo_cli.terminal.reporting import Reporter
    from engine.weight_change_plot import draw
    from registry import Registry

    for file in plot or ():
        check_plot(file, force=force)
    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry, Reporter(out) as reporter:
        found = analyze_weights(
            registry, images=spatial or (), class_word=class_word, clips=temporal or (), prompt=prompt,
            base=base, device=device, options=options, on_event=reporter,
        )  # fmt: skip
    rows = [
        {"parameters": axis, "kind": kind.kind, "layers": kind.layers, "mean": kind.mean, "least": kind.least,
         "most": kind.most}
        for axis, kinds in found.items()
        for kind in kinds
    ]  # fmt: skip
    out.table(rows, _COLUMNS, id_key="kind", empty="")
    for file in plot or ():
        draw(found, file)
        out.note(f"drawn: {file}")

"""`dv analyze`: the paper's analyses."""

from __future__ import annotations

import typer

from dreamvideo_cli.commands.analyze.weights import weights

app = typer.Typer(help="Analyses of the paper: how much fine-tuning changes which weights.")


@app.callback()
def analyze() -> None:
    """Analyses of the paper: how much fine-tuning changes which weights."""


app.command("weights")(weights)

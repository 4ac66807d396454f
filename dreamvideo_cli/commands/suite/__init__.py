"""`dv suite`: every method on the same subjects, motions, prompts and seeds, measured alike."""

from __future__ import annotations

import typer

from dreamvideo_cli.commands.suite.run import run
from dreamvideo_cli.commands.suite.status import status

app = typer.Typer(help="Suites: many methods on the same material, measured alike.", no_args_is_help=True)


@app.callback()
def suite() -> None:
    """Suites: many methods on the same material, measured alike."""


app.command("run")(run)
app.command("status")(status)

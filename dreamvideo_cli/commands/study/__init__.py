"""`dv study`: people's votes on a suite's videos."""

from __future__ import annotations

import typer

from dreamvideo_cli.commands.study.make import make
from dreamvideo_cli.commands.study.tally import count

app = typer.Typer(help="A user study of a suite's videos: a page for raters, and their votes counted.")

app.command("make")(make)
app.command("tally")(count)

"""`dv runs`: learning runs, now and before."""

from __future__ import annotations

import typer

from dreamvideo_cli.commands.runs.list import runs
from dreamvideo_cli.commands.runs.log import log
from dreamvideo_cli.commands.runs.resume import resume
from dreamvideo_cli.commands.runs.show import show
from dreamvideo_cli.commands.runs.stop import stop

app = typer.Typer(help="Learning runs: list, show, log, resume, stop.")
app.callback(invoke_without_command=True)(runs)
app.command("show")(show)
app.command("log")(log)
app.command("resume")(resume)
app.command("stop")(stop)

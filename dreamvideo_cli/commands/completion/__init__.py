"""`dv completion`: the tab key in bash, zsh and fish."""

from __future__ import annotations

import typer

from dreamvideo_cli.commands.completion.install import install
from dreamvideo_cli.commands.completion.show import show

app = typer.Typer(help="The tab key in bash, zsh and fish: install, show.", no_args_is_help=True)


@app.callback()
def completion() -> None:
    """The tab key in bash, zsh and fish: commands, options, and the names of what was learnt."""


app.command("install")(install)
app.command("show")(show)

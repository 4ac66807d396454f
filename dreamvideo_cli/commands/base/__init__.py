"""`dv base`: the models that everything is learnt on."""

from __future__ import annotations

import typer

from dreamvideo_cli.commands.base.add import add
from dreamvideo_cli.commands.base.list import list_bases
from dreamvideo_cli.commands.base.rm import remove
from dreamvideo_cli.commands.base.show import show
from dreamvideo_cli.commands.base.tune import tune
from dreamvideo_cli.commands.base.use import use

app = typer.Typer(help="The base models: list, show, add, tune, use, rm.", no_args_is_help=True)


@app.callback()
def base() -> None:
    """The base models that everything is learnt on."""


app.command("list")(list_bases)
app.command("show")(show)
app.command("add")(add)
app.command("tune")(tune)
app.command("use")(use)
app.command("rm")(remove)

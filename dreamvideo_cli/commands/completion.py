"""`dv completion`: the tab key in bash, zsh and fish."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal import shell_scripts
from dreamvideo_cli.terminal.options import QuietOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.shell_scripts import Shell

app = typer.Typer(help="The tab key in bash, zsh and fish: install, show.", no_args_is_help=True)

_ShellArgument = Annotated[
    Shell | None, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default="your login shell")
]


@app.callback()
def completion() -> None:
    """The tab key in bash, zsh and fish: commands, options, and the names of what was learnt."""


@app.command("install")
def install(shell: _ShellArgument = None, quiet: QuietOption = False) -> None:
    """Install completion for your shell, and print the script's path.

    Bash and zsh get a line in .bashrc or .zshrc that reads it. New shells have it; installing twice does no harm.

    Example: dv completion install zsh
    """
    out = Out(quiet=quiet)
    path, changed = shell_scripts.install(shell or shell_scripts.shell_in_use())
    if changed is not None:
        out.note(f"{changed} has a new line that reads it.")
    out.note("Open a new shell to have it.")
    out.result(str(path), None)


@app.command("show")
def show(shell: _ShellArgument = None) -> None:
    """Print a shell's completion script.

    Example: dv completion show bash > /etc/bash_completion.d/dv
    """
    Out().result(shell_scripts.script(shell or shell_scripts.shell_in_use()).removesuffix("\n"), None)

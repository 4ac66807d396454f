"""What the commands on completion share."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamvideo_cli.terminal.shell_scripts import Shell

ShellArgument = Annotated[
    Shell | None, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default="your login shell")
]

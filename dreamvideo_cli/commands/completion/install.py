"""`dv completion install`: the tab key in a shell."""

from __future__ import annotations

from dreamvideo_cli.commands.completion.options import ShellArgument
from dreamvideo_cli.terminal import shell_scripts
from dreamvideo_cli.terminal.options import QuietOption
from dreamvideo_cli.terminal.output import Out


def install(shell: ShellArgument = None, quiet: QuietOption = False) -> None:
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

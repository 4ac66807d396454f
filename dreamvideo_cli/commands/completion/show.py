"""`dv completion show`: a shell's completion script."""

from __future__ import annotations

from dreamvideo_cli.commands.completion.options import ShellArgument
from dreamvideo_cli.terminal import shell_scripts
from dreamvideo_cli.terminal.output import Out


def show(shell: ShellArgument = None) -> None:
    """Print a shell's completion script.

    Example: dv completion show bash > /etc/bash_completion.d/dv
    """
    Out().result(shell_scripts.script(shell or shell_scripts.shell_in_use()).removesuffix("\n"), None)

"""What the commands that write pages of HTML share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.jobs.targets import check_file
from engine.errors import InputError
from engine.files import written_aside

SuiteFolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A suite's results, as dv suite run left them.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]


def check_page(path: Path, *, force: bool) -> None:
    """Raise `InputError` where no page can be written to `path`, or it would replace a file unasked."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"a page is an HTML file: {path} must end in .html")
    check_file(path, force=force)


def write_page(path: Path, text: str, *, replace: bool) -> int:
    """Write a page, whole or not at all, and give its size in bytes.

    Without `replace`, raises `FileThereError` for a file that appeared meanwhile.
    """
    contents = text.encode("utf-8", "replace")
    with written_aside(path, replace=replace) as partial:
        partial.write_bytes(contents)
    return len(contents)

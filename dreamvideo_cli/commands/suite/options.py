"""What the commands on suites share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.terminal.completion import suite_names

SuiteArgument = Annotated[
    str,
    typer.Argument(metavar="SUITE", help="A suite's TOML file, or one that dv brings.", autocompletion=suite_names),
]


FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder", metavar="DIR", help="For results and videos.", show_default="named after SUITE", file_okay=False
    ),
]

ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="N/OF", help="One part of the cells, as 3/16.", show_default="all of them"),
]

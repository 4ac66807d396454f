"""What the commands on runs share."""

from __future__ import annotations

from typing import Annotated

import typer

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's number, or a name: its newest run.")]

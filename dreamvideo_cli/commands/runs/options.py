"""What the commands on runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass


RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's number, or a name: its newest run.")]

"""`--method`, apart from the other options: its help names every method, and those take a while to load."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.terminal.completion import method_names
from engine.methods.table import DEFAULT, configs_of


def _method_option(kind: AdapterKind) -> Any:
    return typer.Option(
        "--method",
        metavar="METHOD",
        help=f"How to learn: {', '.join(configs_of(kind))}, or an ablation (docs/methods.md).",
        autocompletion=method_names(kind),
        show_default=DEFAULT,
    )


SubjectMethodOption = Annotated[str | None, _method_option("subject")]
MotionMethodOption = Annotated[str | None, _method_option("motion")]

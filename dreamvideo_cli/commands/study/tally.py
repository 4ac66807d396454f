"""`dv study tally`: raters' answers, counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.jobs.targets import check_table
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.pages import ForceOption


def count(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="The .key.json that dv study make wrote.")],
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS", help="The files that raters saved.")],
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a table, one row a pair and question.")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Count raters' answers by majority vote, as tables 4, A2 and A3 of the paper do, and how far raters agree.

    Example: dv study tally study.key.json answers-*.json
    """
    from dreamvideo_cli.terminal.votes import show_votes
    from engine.evaluation.suites.ballots import load_study
    from engine.evaluation.suites.tallies import load_answers, tally

    if csv is not None:
        check_table(csv, force=force)
    study = load_study(key)
    show_votes(study, tally(study, load_answers(answers, study)), csv, Out(json=json, quiet=quiet), force=force)

"""`dv report`: a suite's tables and videos as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.pages import ForceOption, SuiteFolderArgument, check_page, write_page
from dreamvideo_cli.wording import bytes_text, count_text

_HEAVY = 100_000_000
"""Bytes of a page from which on browsers take their time."""


def report(
    folder: SuiteFolderArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to.", show_default="FOLDER/report.html")
    ] = None,
    votes: Annotated[
        Path | None, typer.Option("--votes", metavar="FILE", help="Show a study's votes too: dv study tally --json's.")
    ] = None,
    comparisons: Annotated[
        int | None,
        typer.Option(
            "--comparisons",
            metavar="N",
            min=0,
            help="Show N subjects, motions, prompts and seeds side by side, spread evenly; 0 is tables only.",
            show_default="as many as make a page of 40 MB",
        ),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a suite's tables, videos, learning curves and settings as one HTML page, and print its path.

    The page holds all that it shows and opens without a network. FOLDER's own report.html is written anew each time.
    --json prints the tables' numbers.
    Example: dv report suites/small
    """
    from engine.evaluation.pages.report import make_report, report_data
    from engine.evaluation.suites.results import read_results
    from engine.evaluation.suites.tallies import load_votes

    out = Out(json=json, quiet=quiet)
    results = read_results(folder)
    target = output or folder / "report.html"
    check_page(target, force=force or output is None)
    made = make_report(results, folder, load_votes(votes) if votes else None, most=comparisons)
    size = write_page(target, made.html, replace=force or output is None)
    for problem in made.problems:
        out.warn(problem)
    failed = f", {made.failed:,} failed" if made.failed else ""
    out.note(f"{count_text(made.videos, 'video')}{failed}; {bytes_text(size)}")
    if made.shown < made.comparable:
        there = count_text(made.comparable, "comparison")
        out.note(f"{made.shown:,} of {there} shown; --comparisons N shows N of them")
    if size > _HEAVY:
        out.note("A page of this size opens slowly: --comparisons N shows fewer videos.")
    out.result(str(target), {"path": str(target), "bytes": size, **report_data(made)})

"""`dv study make`: a page on which raters compare videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.jobs.targets import check_file
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.pages import ForceOption, SuiteFolderArgument, check_page, write_page
from dreamvideo_cli.wording import bytes_text, count_text


def make(
    folder: SuiteFolderArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to.", show_default="FOLDER/study.html")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="METHOD", help="The suite's method that others are compared with.")
    ] = "dreamvideo",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against", metavar="METHOD", help="Compare with this one; repeatable.", show_default="all others"
        ),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--most", min=1, metavar="N", help="At most N pairs for each method compared with.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Decides the order, and who stands left.")] = 0,
    force: ForceOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a page on which raters compare videos in pairs without knowing whose they are, and print its path.

    Whose they are is in a second file beside it, NAME.key.json: keep it, and give raters only the page.
    Example: dv study make suites/small -o study.html
    """
    from engine.evaluation.pages.study import study_page
    from engine.evaluation.suites.ballots import draw_study, save_study
    from engine.evaluation.suites.results import read_results

    out = Out(json=json, quiet=quiet)
    results = read_results(folder)
    target = output or folder / "study.html"
    key = target.with_suffix(".key.json")
    check_page(target, force=force)
    check_file(key, force=force)
    study = draw_study(results, folder.resolve().name, method=method, against=against or (), most=most, seed=seed)
    page = study_page(study, results, folder)
    save_study(study, key, replace=force)
    size = write_page(target, page, replace=force)
    out.note(f"{count_text(len(study.ballots), 'pair')} of videos; {bytes_text(size)}")
    out.note(f"Keep {key}: it says whose videos they are, and dv study tally needs it")
    about = {"path": str(target), "key": str(key), "bytes": size, "study": study.id, "ballots": len(study.ballots)}
    out.result(str(target), about)

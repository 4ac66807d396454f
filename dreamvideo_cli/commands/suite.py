"""`dv suite`: every method on the same subjects, motions, prompts and seeds, measured alike."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.terminal.completion import suite_names
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import DeviceOption, DryRunOption, JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import age_text, count_text, duration_text
from engine.errors import InputError

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.suite.planning import Forecasts, SuitePlan
    from engine.evaluation.suites.definition import Suite

app = typer.Typer(help="Suites: many methods on the same material, measured alike.", no_args_is_help=True)

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


_FAILURES_SHOWN = 20
_COLUMNS = (
    Column("name", "Suite", style="bold"),
    Column("made", "Done", str, "right"),
    Column("failed", "Failed", str, "right"),
    Column("size", "Cells", str, "right"),
    Column("updated_at", "Worked on", lambda moment: age_text(str(moment)), style="dim"),
    Column("folder", "Folder", wrap=True),
)


@app.callback()
def suite() -> None:
    """Suites: many methods on the same material, measured alike."""


@app.command("run")
def run(
    suite: SuiteArgument,
    folder: FolderOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Learn, compose and score every cell: methods x subjects x motions x prompts x seeds.

    The whole suite is checked, and its cost told, before anything starts. An adapter that was learnt before from the
    same files by the same settings isn't learnt again. What fails doesn't stop the rest. Run it again to go on: a
    video that is there, unchanged, is kept. docs/suites.md says how a suite is written.

    Example: dv suite run small
    """
    from dreamvideo_cli.jobs.batch.running import folder_of
    from dreamvideo_cli.jobs.suite.planning import Forecasts
    from dreamvideo_cli.jobs.suite.running import carry_out
    from dreamvideo_cli.jobs.suite.shipped import suite_named
    from dreamvideo_cli.jobs.suite.status import show_status

    out = Out(json=json, quiet=quiet)
    read = suite_named(suite)
    folder = folder or Path(read.name)
    with folder_of(folder, "suite"):
        plan = _plan(read, folder, device, dry_run=dry_run)
        forecasts = Forecasts(plan)
        _tell_cost(plan, forecasts, out, dry_run=dry_run)
        if dry_run:
            return
        try:
            carry_out(plan, forecasts, out)
        except (KeyboardInterrupt, typer.Exit):
            command = shlex.join(["dv", "suite", "run", suite, "--folder", str(folder)])
            out.warn(f"the suite stopped; the same command goes on: {command}")
            raise
        show_status(read, folder, plan.results, out)
    if _tell_end(plan, out):
        raise typer.Exit(ExitCode.FAILED)


@app.command("status")
def status(
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE",
            help="A folder of results, or the suite itself.",
            show_default="list all that were run",
            autocompletion=suite_names,
        ),
    ] = None,
    folder: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Tell how many cells are done, failed and missing by method, and the means so far.

    Example: dv suite status small
    """
    if suite is None:
        _list(Out(json=json))
        return
    from dreamvideo_cli.jobs.suite.shipped import suite_named
    from dreamvideo_cli.jobs.suite.status import results_in, show_status
    from engine.evaluation.suites.definition import suite_in

    if Path(suite).is_dir() and folder is None:
        found, folder = suite_in(Path(suite)), Path(suite)
        if found is None:
            raise InputError(f"{suite} holds no results of a suite: make some with `dv suite run SUITE --folder DIR`")
    else:
        found = suite_named(suite)
        folder = folder or Path(found.name)
    show_status(found, folder, results_in(folder), Out(json=json))


def _list(out: Out) -> None:
    from registry import Registry

    with Registry.open() as registry:
        rows = [asdict(run) for run in registry.suites.all()]
    out.table(rows, _COLUMNS, id_key="folder", empty="No suite was run yet. Begin with: dv suite run small")


def _plan(suite: Suite, folder: Path, device: str | None, *, dry_run: bool) -> SuitePlan:
    from dreamvideo_cli.jobs.suite.folder import REFERENCES
    from dreamvideo_cli.jobs.suite.planning import plan_suite
    from engine.evaluation.suites.definition import suite_in
    from engine.evaluation.suites.results import RESULTS, newest_results
    from registry import Registry

    other = suite_in(folder)
    if other is not None and other.name != suite.name:
        raise InputError(f"{folder} holds the suite {other.name}: choose another folder with --folder")
    place = TemporaryDirectory() if dry_run else nullcontext(folder / REFERENCES)
    results = newest_results(folder) if (folder / RESULTS).exists() else []
    with place as material, Registry.open() as registry:
        return plan_suite(suite, folder, results, registry, material=Path(material), device=device)


def _tell_cost(plan: SuitePlan, forecasts: Forecasts, out: Out, *, dry_run: bool) -> None:
    """What is going to be done, and how long it will take: on stderr, and of a dry run as JSON too."""
    lessons, waiting = plan.to_learn, plan.waiting
    seconds = [sum(map(forecasts.of_lesson, lessons)), sum(map(forecasts.of_task, waiting))]
    suite = plan.suite
    sizes = [
        count_text(len(things), name)
        for name, things in (("method", suite.methods), ("subject", suite.subjects), ("motion", suite.motions),
                             ("prompt", suite.prompts), ("seed", suite.seeds)) if things
    ]  # fmt: skip
    out.note(f"{suite.name}: {count_text(len(plan.tasks), 'cell')} ({' x '.join(sizes)}) on {plan.info.location.name}")
    for note in plan.notes:
        out.warn(note)
    out.note(f"{count_text(len(lessons), 'adapter')} to learn, about {duration_text(seconds[0])}")
    kept = len(plan.tasks) - len(waiting)
    out.note(f"{count_text(len(waiting), 'video')} to make, about {duration_text(seconds[1])}; {kept} there already")
    out.note(f"about {duration_text(sum(seconds))} in all")
    if dry_run and out.json:
        out.data(
            {
                "suite": suite.name,
                "cells": len(plan.tasks),
                "adapters_to_learn": [lesson.request.name for lesson in lessons],
                "videos_to_make": len(waiting),
                "expected_learning_seconds": round(seconds[0], 3),
                "expected_composing_seconds": round(seconds[1], 3),
            }
        )


def _tell_end(plan: SuitePlan, out: Out) -> int:
    """What came of it, each failed cell with its reason; the number of failed cells."""
    from dreamvideo_cli.jobs.suite.folder import CELLS
    from dreamvideo_cli.jobs.suite.running import cell_text
    from dreamvideo_cli.jobs.suite.status import failures_of

    failures = failures_of(plan.suite, plan.results)
    made = sum(task.after is not None and task.after.state == "made" for task in plan.tasks)
    kept = sum(task.is_whole for task in plan.tasks)
    out.note(f"{made} made, {kept} kept, {len(failures)} failed; all cells: {plan.folder / CELLS}")
    for result in failures[:_FAILURES_SHOWN]:
        out.warn(f"without a result: {cell_text(result.cell)}: {result.error}")
    if len(failures) > _FAILURES_SHOWN:
        out.warn(f"and {count_text(len(failures) - _FAILURES_SHOWN, 'cell')} more")
    return len(failures)

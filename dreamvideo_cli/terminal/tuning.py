"""Tuning a base at the terminal: the same for the command that begins it and the one that goes on with it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.terminal.output import Out, grid, pairs
from dreamvideo_cli.terminal.plans import SETTING_COLUMNS, changed_settings, estimate_data, expected, setting_data
from dreamvideo_cli.terminal.reporting import Reporter

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.requests import LearnRequest
    from dreamvideo_cli.jobs.tuning import PlannedTuning


def run_tuning(
    request: LearnRequest, out: Out, *, resume: bool = False, restart: bool = False, dry_run: bool = False
) -> None:
    """Tune, and print the new base's name; of a dry run with --json, the plan. Of several processes, one prints."""
    from dreamvideo_cli.jobs.tuning import PlannedTuning, tune_base
    from dreamvideo_cli.terminal.base_rows import base_rows
    from engine.processes import started_processes
    from registry import Registry

    with Registry.open() as registry, Reporter(out) as reporter:
        made = tune_base(request, registry, resume=resume, restart=restart, dry_run=dry_run, on_event=reporter)
        rows = base_rows(registry)
    if not started_processes().is_first:
        return
    if made is not None:
        out.result(made.name, next(row for row in rows if row["name"] == made.name))
    elif out.json:
        assert isinstance(reporter.plan, PlannedTuning)
        out.data(tuning_data(reporter.plan))


def show_tuning(planned: PlannedTuning, out: Out) -> None:
    """Print the plan on stderr: the data, every setting that isn't a default, what it takes."""
    plan, estimate = planned.plan, planned.estimate
    base, name = planned.info.location.name, planned.request.name
    out.note(f"Tuning the base {base} on {plan.data}: the new base is {name}")
    changed = changed_settings(plan.settings, usual=("paper", "dv", "authors"))
    if changed:
        out.aside(grid(changed, SETTING_COLUMNS))
    (count,) = estimate.parameters.values()
    out.aside(
        pairs(
            {
                "Clips": f"{len(plan.clips):,}, {sum(clip.duration for clip in plan.clips) / 60:,.1f} minutes",
                "Windows": _windows_text(plan.lengths),
                "Trained": f"{count:,} values ({plan.settings.config.parameters} parameters of the denoiser)",
                "Steps": f"{plan.settings.config.steps:,}",
                **expected(
                    estimate, f"on {planned.request.device or 'the best device here'} in {planned.request.dtype}"
                ),
            }
        )
    )
    for note in (*plan.notes, *estimate.notes):
        out.warn(note)


def tuning_data(planned: PlannedTuning) -> dict[str, Any]:
    """The plan as plain values."""
    plan, location = planned.plan, planned.info.location
    return {
        "name": planned.request.name,
        "base": {"name": location.name, "model": location.model},
        "data": {"path": str(plan.data), "clips": len(plan.clips), "sha256": plan.data_hash},
        "settings": setting_data(plan.settings),
        "notes": [*plan.notes, *planned.estimate.notes],
        **estimate_data(planned.estimate),
    }


def _windows_text(lengths: list[int]) -> str:
    """`32 frames`, or where they differ `32 frames (480 clips), 24 frames (20 clips)`."""
    counts = sorted(Counter(lengths).items(), reverse=True)
    if len(counts) == 1:
        return f"{counts[0][0]} frames"
    return ", ".join(f"{length} frames ({count:,} clips)" for length, count in counts)

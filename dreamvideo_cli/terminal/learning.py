"""A learning run at the terminal: the same for the commands that begin one and the one that goes on with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.reporting import Reporter

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.requests import LearnRequest


def run_learning(
    request: LearnRequest, out: Out, *, resume: bool = False, restart: bool = False, dry_run: bool = False
) -> None:
    """Learn, and print the adapter's id; of a dry run with --json, the plan. Of several processes the first prints."""
    from dreamvideo_cli.jobs.learning import LearningPlan, learn
    from dreamvideo_cli.terminal.rows import adapter_data
    from engine.processes import started_processes
    from registry import Registry

    with Registry.open() as registry, Reporter(out) as reporter:
        adapter = learn(request, registry, resume=resume, restart=restart, dry_run=dry_run, on_event=reporter)
    if not started_processes().is_first:
        return
    if adapter is not None:
        out.result(adapter.id, adapter_data(adapter))
    elif out.json:
        from dreamvideo_cli.terminal.plans import plan_data

        assert isinstance(reporter.plan, LearningPlan)
        out.data(plan_data(reporter.plan))

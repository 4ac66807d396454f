"""`dv runs show`: how a run goes, or went."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvideo_cli.commands.runs.options import RunArgument
from dreamvideo_cli.terminal.learnt import ShownLearning, shown_learning, shown_run, step_row
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import age_text

if TYPE_CHECKING:
    from registry import Registry, Run


def show(run: RunArgument, json: JsonOption = False) -> None:
    """Show how a run goes, or went: how far it got, its held-out losses, the steps that it kept, its previews and its
    curve. While it runs, losses are those up to its last snapshot.

    Example: dv runs show chowchow
    """
    from registry import Registry

    with Registry.open() as registry:
        found = registry.runs.find(run)
        learning = _learning(found, registry)
        log = registry.runs.log_of(found.id)
    reached = f"{found.part} {found.step}/{found.steps}" if found.part is not None else None
    about: dict[str, object] = {
        "Kind": found.kind,
        "State": found.state,
        "Reached": reached,
        "Began": age_text(found.started_at),
        "Ended": age_text(found.ended_at) if found.ended_at is not None else None,
        "Error": found.message,
        "Base" if found.kind == "base" else "Adapter": found.adapter,
        "Log": str(log) if log.is_file() else None,
    }
    known = {name: value for name, value in about.items() if value is not None}
    sections = learning.sections() if learning is not None else []
    data = {**asdict(found), **(learning.data() if learning is not None else {})}
    Out(json=json).page([(f"Run {found.id} of {found.name}", known), *sections], data)


def _learning(run: Run, registry: Registry) -> ShownLearning | None:
    """What is noted of a run: in the folder of what it made, else in its own, which is that of its name's newest."""
    from registry import UnknownNameError

    is_newest = registry.runs.find(run.name).id == run.id
    if run.kind == "base" and run.adapter is not None:
        base = next((base for base in registry.bases() if base.name == run.adapter and base.lineage is not None), None)
        return shown_learning(Path(base.model), []) if base is not None and is_newest else None
    if run.adapter is not None:
        try:
            adapter = registry.find(run.adapter)
        except UnknownNameError:  # it was removed
            return None
        return shown_learning(registry.path(adapter), [step_row(step) for step in registry.kept_steps(adapter)])
    folder = registry.run_folder(run.name)
    return shown_run(folder) if is_newest and folder.is_dir() else None

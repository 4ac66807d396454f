"""What a job is going to do, for people (on stderr) and for scripts (as JSON)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.composing import ComposePlan, read_with
from dreamvideo_cli.jobs.publishing import source_data
from dreamvideo_cli.terminal.output import Column, Out, grid, pairs
from dreamvideo_cli.wording import bytes_text, duration_text, option_name, size_text, value_text

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.learning import LearningPlan
    from engine.estimating import Estimate
    from engine.planning import MotionPlan, PlannedSource, SubjectPlan
    from engine.settings import Resolved

SETTING_COLUMNS = (Column("name", "Setting"), Column("value", "Value"), Column("origin", "From", style="dim"))
_PARTS = (
    Column("part", "Part"),
    Column("steps", "Steps", lambda count: f"{count:,}", "right"),
    Column("parameters", "Trainable parameters", lambda count: f"{count:,}", "right"),
)


def show_plan(planned: LearningPlan, out: Out) -> None:
    """Print the plan on stderr: every source, every setting that the paper doesn't say, the work, what it takes."""
    plan, estimate = planned.plan, planned.estimate
    changed = changed_settings(plan.settings, usual=("paper", "dv"))
    parts = [
        {"part": part, "steps": steps, "parameters": estimate.parameters[part]}
        for part, steps in estimate.steps.items()
    ]
    base = planned.info.location.name
    out.note(f"Learning {planned.id} by {plan.method.name} on the base {base}: {plan.method.summary}")
    out.aside(grid([_shown(source) for source in plan.sources], _source_columns(plan)))
    if changed:
        out.aside(grid(changed, SETTING_COLUMNS))
    where = f"on {planned.request.device or 'the best device here'} in {planned.request.dtype}"
    where += ", the denoiser's blocks offloaded" if planned.offload else ""
    out.aside(
        grid(parts, _PARTS),
        pairs(
            {
                "Other settings": "the paper's, and dv's own neutral ones",
                **expected(estimate, where),
            }
        ),
    )
    for note in (*plan.notes, *estimate.notes):
        out.warn(note)


def changed_settings(settings: Resolved[Any], usual: Sequence[str]) -> list[dict[str, object]]:
    """The settings, with where they come from, whose values don't come from who is `usual`."""
    return [
        {"name": name, "value": value_text(getattr(settings.config, name)), "origin": origin}
        for name, origin in settings.origins.items()
        if origin not in usual
    ]


def expected(estimate: Estimate, where: str) -> dict[str, object]:
    """Time and memory in words; `where` is added to the time."""
    return {
        "Expected time": f"about {duration_text(estimate.seconds)} {where}{_before_learning(estimate)}",
        "Expected memory": f"about {bytes_text(estimate.peak_bytes)}",
    }


def _before_learning(estimate: Estimate) -> str:
    """What of the time passes before the first step, where that is worth a word."""
    if estimate.encoding_seconds < 0.1 * estimate.seconds:
        return ""
    return f", {duration_text(estimate.encoding_seconds)} of it to encode what is given"


def plan_data(planned: LearningPlan) -> dict[str, Any]:
    """The plan as plain values."""
    plan, estimate = planned.plan, planned.estimate
    location = planned.info.location
    return {
        "id": planned.id,
        "method": plan.method.name,
        "base": {"name": location.name, "model": location.model},
        "sources": [{**source_data(source), "used": source.used, "dropped": source.dropped} for source in plan.sources],
        "settings": setting_data(plan.settings),
        "notes": [*plan.notes, *estimate.notes],
        **estimate_data(estimate),
    }


def setting_data(settings: Resolved[Any]) -> dict[str, object]:
    """Every setting as a plain value, with where it comes from."""
    return {name: {"value": value, "origin": settings.origins[name]} for name, value in settings.values().items()}


def estimate_data(estimate: Estimate) -> dict[str, object]:
    """What a run will take, as plain values."""
    return {
        "steps": estimate.steps,
        "trainable_parameters": estimate.parameters,
        "expected_seconds": round(estimate.seconds, 1),
        "expected_encoding_seconds": round(estimate.encoding_seconds, 1),
        "expected_peak_bytes": estimate.peak_bytes,
    }


def show_composition(plan: ComposePlan, out: Out) -> None:
    """Print on stderr what will be composed: prompt, adapters, base, and every setting that isn't the paper's."""
    config, origins = plan.settings.config, plan.settings.origins
    learnt = [f"the {adapter.kind} {adapter.id}" for adapter in plan.adapters]
    what = " and ".join(learnt) if learnt else "nothing learnt"
    out.note(f'"{plan.prompt}" with {what}, on the base {plan.base.name}')
    out.note(
        f"{config.frames} frames of {size_text(config.size)} at {config.fps:g} fps, "
        f"{config.steps} steps, guidance {config.guidance_scale:g}"
    )
    read = read_with([adapter.kind for adapter in plan.adapters]) - {"frames", "size", "fps", "steps", "guidance_scale"}
    usual = type(config)().completed()
    changed = [
        f"{option_name(name)} {value_text(getattr(config, name))} ({origin})"
        for name, origin in origins.items()
        if name in read and getattr(config, name) != getattr(usual, name)
    ]
    if changed:
        out.note("also " + ", ".join(changed))


def _shown(source: PlannedSource) -> dict[str, object]:
    return {
        "file": source.path.name,
        "role": source.role,
        "size": size_text((source.width, source.height)),
        "frames": source.frames,
        "fps": f"{source.fps:g}" if source.fps is not None else "",
        "used": source.used,
        "dropped": source.dropped,
        "prompt": source.prompt or "",
    }


def _source_columns(plan: SubjectPlan | MotionPlan) -> list[Column]:
    """Only the columns that tell something: images have no rate, mostly no captions, and clips share one prompt."""
    clips = any(source.role == "clip" for source in plan.sources)
    columns = [Column("file", "File")]
    if len({source.role for source in plan.sources}) > 1:
        columns.append(Column("role", "Role", style="dim"))
    columns.append(Column("size", "Size", justify="right"))
    if clips:
        columns += [Column("frames", "Frames", justify="right"), Column("fps", "Fps", justify="right")]
    columns += [Column("used", "Used", wrap=True), Column("dropped", "Dropped", wrap=True)]
    if len({source.prompt for source in plan.sources} - ({None} if clips else set())) > 1:
        columns.append(Column("prompt", "Prompt", wrap=True))
    return columns

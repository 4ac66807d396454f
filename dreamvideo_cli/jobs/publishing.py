"""An adapter's row: all that is known of how it was learnt."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.requests import LearnRequest
from engine.versions import version_of, version_of_dv

if TYPE_CHECKING:
    from engine.held_out import Effect
    from engine.learning import Learned
    from engine.planning import MotionPlan, PlannedSource, SubjectPlan
    from registry import NewAdapter, Source

_UNKNOWN = "unknown"
LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


def hyperparameters(request: LearnRequest, plan: SubjectPlan | MotionPlan) -> dict[str, Any]:
    """All that decides what comes of the sources."""
    return {**plan.settings.values(), **_trimming(request), **_captions(plan)}


def adapter_row(
    request: LearnRequest,
    plan: SubjectPlan | MotionPlan,
    learned: Learned,
    *,
    base_name: str,
    base_fingerprint: str,
    device: str,
) -> NewAdapter:
    """The row of an adapter that was just learnt."""
    from registry import NewAdapter

    return NewAdapter(
        kind=request.adapter_kind,
        name=request.name,
        base_fingerprint=base_fingerprint,
        base_name=base_name,
        method=learned.method,
        hyperparameters=hyperparameters(request, plan),
        origins={
            **plan.settings.origins,
            **dict.fromkeys(_trimming(request), "option"),
            **dict.fromkeys(_captions(plan), "files"),
        },
        seed=plan.settings.config.seed,
        device=device,
        dtype=request.dtype,
        library_versions={name: version_of(name) for name in LIBRARIES},
        started_at=request.started_at,
        ended_at=now(),
        steps=learned.steps,
        final_loss=learned.final_loss,
        dv_version=version_of_dv(),
        class_word=getattr(plan, "class_word", None),
        prompt=getattr(plan, "prompt", None),
    )


def describe_steps(folder: Path) -> None:
    """Say in the folder of an adapter that is about to be published what its kept steps are."""
    from engine.learning_folder import last_losses, read_curves
    from registry.kept_steps import describe, folders

    losses, held_out = last_losses(read_curves(folder))
    for step, kept in folders(folder):
        describe(kept, loss=losses[step], held_out_loss=held_out.get(step))


def effect_text(effect: Effect) -> str:
    """What an adapter does, in one line."""
    by = f"{effect.prediction_change:.2%}"
    losses = f"held-out loss {effect.loss:.4g}, {effect.loss_without:.4g} without it"
    if effect.is_nothing:
        return (
            f"what was learnt does next to nothing: at strength 1 the base's prediction moves by {by} ({losses}). "
            "Learn for more steps, or at a higher learning rate"
        )
    return f"at strength 1 the base's prediction moves by {by}; {losses}"


def imported_name(name: str | None, file: Path, otherwise: str) -> str:
    """What an adapter is called that a file of others' holds: the `name` given, or else the file's, in which every run
    of what a name can't have is a dash. Raises `InvalidNameError`."""
    from registry import check_new_name

    return check_new_name(name or re.sub(r"[^\w.-]+", "-", file.stem).strip("-._") or otherwise)


def imported_row(**known: Any) -> NewAdapter:
    """The row of an adapter that was learnt elsewhere: what is `known` of it, and of the rest that nobody knows it."""
    from registry import NewAdapter

    moment = now()
    unknown: dict[str, Any] = {
        "hyperparameters": {}, "origins": {}, "seed": 0, "device": _UNKNOWN, "dtype": _UNKNOWN, "library_versions": {},
        "started_at": moment, "ended_at": moment, "steps": 0, "final_loss": 0.0, "dv_version": version_of_dv(),
    }  # fmt: skip
    return NewAdapter(**{**unknown, **known})


def is_of_unknown_learning(adapter: NewAdapter) -> bool:
    """Whether nobody knows how an adapter was learnt: it is an `imported_row`, with the moment of its import."""
    return adapter.device == _UNKNOWN


def source_row(source: PlannedSource) -> Source:
    """The row of one image, mask or clip."""
    from registry import Source

    data = source_data(source)
    return Source(**{name: data[name] for name in Source.__dataclass_fields__})


def source_data(source: PlannedSource) -> dict[str, Any]:
    """One source as plain values."""
    return {
        "path": str(source.path.absolute()),
        "role": source.role,
        "sha256": source.sha256,
        "bytes": source.bytes,
        "width": source.width,
        "height": source.height,
        "frames": source.frames,
        "fps": source.fps,
        "prompt": source.prompt,
    }


def now() -> str:
    """This moment in UTC, as rows have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _trimming(request: LearnRequest) -> dict[str, Any]:
    return {name: request.given[name] for name in ("start", "end", "source_fps") if name in request.given}


def _captions(plan: SubjectPlan | MotionPlan) -> dict[str, Any]:
    """The captions of the images or clips, in their order, where they aren't all the motion's prompt, or none."""
    captions = [source.prompt for source in plan.sources if source.role != "mask"]
    return {"captions": captions} if set(captions) - {getattr(plan, "prompt", None)} else {}

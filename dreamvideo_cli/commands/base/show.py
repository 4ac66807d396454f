"""`dv base show`: what a base is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.completion import base_names
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import bytes_text, option_name, value_text

if TYPE_CHECKING:
    from engine.bases.location import BaseInfo


def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="BASE",
            help="A base's name, a diffusers folder, or a hub id.",
            show_default="the default base",
            autocompletion=base_names,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what a base is: its parts, what it predicts, what it recommends.

    Example: dv base show embedded
    """
    from dreamvideo_cli.jobs.bases import chosen_base, fingerprint_of
    from engine.bases.location import inspect_base
    from registry import Registry

    with Registry.open() as registry:
        location = chosen_base(registry, name)
    info = inspect_base(location)
    fingerprint = fingerprint_of(location, info)
    Out(json=json).page(_sections(info, fingerprint), _data(info, fingerprint))


def _data(info: BaseInfo, fingerprint: str) -> dict[str, Any]:
    return {
        "name": info.location.name,
        "model": info.location.model,
        "image_encoder": info.location.image_encoder,
        "motion_module": info.location.motion_module,
        "fingerprint": fingerprint,
        "family": info.family,
        "prediction_type": info.prediction_type,
        "scheduler": info.scheduler,
        "cross_attention_dim": info.cross_attention_dim,
        "sample_size": info.sample_size,
        "components": info.components,
        "recommended": {task: dict(values) for task, values in info.recommended.items()},
    }


def _sections(info: BaseInfo, fingerprint: str) -> list[tuple[str, dict[str, object]]]:
    about: dict[str, object] = {
        "Model": info.location.model,
        "Family": info.family,
        "Predicts": info.prediction_type,
        "Scheduler": info.scheduler,
        "Fingerprint": fingerprint,
    }
    parts: dict[str, object] = {part: bytes_text(size) for part, size in info.components.items()}
    if info.image_encoder is None:
        parts["image_encoder"] = "none: no appearance guidance"
    recommended: list[tuple[str, dict[str, object]]] = [
        (f"Recommended for {task}", {option_name(k): value_text(v) for k, v in values.items()})
        for task, values in info.recommended.items()
    ]
    return [(info.location.name, about), ("Parts", parts), *recommended]

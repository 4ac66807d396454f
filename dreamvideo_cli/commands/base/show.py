"""`dv base show`: what a base is."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Show what a base is: its parts, what it predicts, what it recommends, and what it was tuned from.

    Example: dv base show embedded
    """
    from dreamvideo_cli.jobs.bases import chosen_base, fingerprint_of
    from engine.bases.location import inspect_base
    from registry import Registry

    with Registry.open() as registry:
        location = chosen_base(registry, name)
        lineage = next((row.lineage for row in registry.bases() if row.name == location.name), None)
    info = inspect_base(location)
    fingerprint = fingerprint_of(location, info)
    sections = _sections(info, fingerprint)
    if lineage is not None:
        sections.insert(1, ("Tuned from", _lineage_section(lineage)))
    Out(json=json).page(sections, {**_data(info, fingerprint), "lineage": lineage})


def _lineage_section(lineage: Mapping[str, Any]) -> dict[str, object]:
    from dreamvideo_cli.jobs.bases import SHORT

    parent, data = lineage["parent"], lineage["data"]
    trained = f"{lineage['parameters']:,} values, {lineage['steps']:,} steps, last loss {lineage['final_loss']:.4g}"
    changed = {name: value for name, value in lineage["settings"].items() if lineage["origins"][name] == "option"}
    return {
        "Base": f"{parent['name']} ({parent['fingerprint'][:SHORT]})",
        "Data": f"{data['clips']:,} clips in {data['path']} ({data['sha256'][:SHORT]})",
        "Trained": trained,
        "On": f"{lineage['device']} in {lineage['dtype']}, {lineage['started_at']} to {lineage['ended_at']}",
        **{option_name(name): value_text(value) for name, value in changed.items()},
    }


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

"""`dv base`: the models that everything is learnt on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.jobs.bases import SHORT, default_base, fingerprint_of, location_of, named_base
from dreamvideo_cli.terminal.completion import base_names
from dreamvideo_cli.terminal.options import BaseArgument, JsonOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import bytes_text, option_name, value_text
from engine.bases.hub import folder_at
from engine.bases.location import EMBEDDED, BaseInfo, BaseLocation, inspect_base

if TYPE_CHECKING:
    from registry import Registry

app = typer.Typer(help="The base models: list, show, add, use, rm.", no_args_is_help=True)

_COLUMNS = (
    Column("default", "", lambda default: "*" if default else ""),
    Column("name", "Name", style="bold"),
    Column("model", "Model", wrap=True),
    Column("image_encoder", "Image encoder", lambda place: "in the model" if place is None else str(place), wrap=True),
    Column("fingerprint", "Fingerprint", lambda text: str(text or "")[:SHORT], style="dim"),
)


@app.callback()
def base() -> None:
    """The base models that everything is learnt on."""


@app.command("list")
def list_bases(
    names: Annotated[bool, typer.Option("--names", help="Print only names, one a line.")] = False,
    json: JsonOption = False,
) -> None:
    """List the bases; the default has a star.

    Example: dv base list
    """
    from registry import Registry

    with Registry.open() as registry:
        rows = _rows(registry)
    Out(json=json).table(rows, _COLUMNS, id_key="name", names=names, empty="")


@app.command("show")
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
    from registry import Registry

    with Registry.open() as registry:
        location = named_base(registry, name) if name else default_base(registry)
    info = inspect_base(location)
    fingerprint = fingerprint_of(location, info)
    Out(json=json).page(_sections(info, fingerprint), _data(info, fingerprint))


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A diffusers folder, or a hub id.")],
    image_encoder: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A CLIP image encoder's folder or hub id, where the model has none."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Add a base, after a look at its parts.

    Example: dv base add modelscope ali-vilab/text-to-video-ms-1.7b
    """
    from registry import Registry, check_new_name

    location = BaseLocation(check_new_name(name), _place(model), _place(image_encoder) if image_encoder else None)
    info = inspect_base(location)
    out = Out(json=json)
    with Registry.open() as registry:
        registry.add_base(
            location.name,
            location.model,
            image_encoder=location.image_encoder,
            fingerprint=fingerprint_of(location, info),
        )
        row = next(row for row in _rows(registry) if row["name"] == location.name)
    if info.image_encoder is None:
        out.warn("this base has no image encoder, so no appearance guidance: see --image-encoder")
    out.result(location.name, row)


@app.command("use")
def use(name: BaseArgument) -> None:
    """Make a base the default.

    Example: dv base use modelscope
    """
    from registry import Registry

    with Registry.open() as registry:
        registry.use_base(name)
    Out().result(name, None)


@app.command("rm")
def remove(name: BaseArgument) -> None:
    """Forget a base. Its files stay, and so do the adapters made for it.

    Example: dv base rm modelscope
    """
    from registry import Registry

    out = Out()
    with Registry.open() as registry:
        row = next((row for row in registry.bases() if row.name == name), None)
        registry.remove_base(name)
        orphans = [a.id for a in registry.adapters() if row is not None and a.base_fingerprint == row.fingerprint]
        still = default_base(registry).name
    if orphans:
        out.warn(f"these adapters need it: {', '.join(orphans)}")
    if row is not None and row.is_default:
        out.note(f"The default is now {still}.")
    out.result(name, None)


def _place(model: str) -> str:
    """A folder is kept by its absolute path: commands run anywhere."""
    folder = folder_at(model)
    return model if folder is None else str(folder)


def _rows(registry: Registry) -> list[dict[str, object]]:
    chosen = default_base(registry).name
    known = [(EMBEDDED, None), *((location_of(row), row.fingerprint) for row in registry.bases())]
    return [
        {
            "name": location.name,
            "model": "comes with dv" if location is EMBEDDED else location.model,
            "image_encoder": location.image_encoder,
            "fingerprint": fingerprint,
            "default": location.name == chosen,
        }
        for location, fingerprint in known
    ]


def _data(info: BaseInfo, fingerprint: str) -> dict[str, Any]:
    return {
        "name": info.location.name,
        "model": info.location.model,
        "image_encoder": info.location.image_encoder,
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
    recommended = [
        (f"Recommended for {task}", {option_name(k): value_text(v) for k, v in values.items()})
        for task, values in info.recommended.items()
    ]
    return [(info.location.name, about), ("Parts", parts), *recommended]  # type: ignore[list-item]

"""`dv base add`: another base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.commands.base.rows import base_rows
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Out

if TYPE_CHECKING:
    pass


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A diffusers folder, or a hub id.")],
    image_encoder: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A CLIP image encoder's folder or hub id, where the model has none."),
    ] = None,
    motion_module: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="An AnimateDiff motion module's folder or hub id, for a Stable Diffusion model that has none.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Add a base, after a look at its parts.

    Example: dv base add modelscope ali-vilab/text-to-video-ms-1.7b
    """
    from dreamvideo_cli.jobs.bases import fingerprint_of
    from engine.bases.location import BaseLocation, inspect_base
    from registry import Registry, check_new_name

    encoder, motion = (_place(part) if part else None for part in (image_encoder, motion_module))
    location = BaseLocation(check_new_name(name), _place(model), encoder, motion)
    info = inspect_base(location)
    out = Out(json=json)
    with Registry.open() as registry:
        registry.add_base(
            location.name,
            location.model,
            image_encoder=location.image_encoder,
            motion_module=location.motion_module,
            fingerprint=fingerprint_of(location, info),
        )
        row = next(row for row in base_rows(registry) if row["name"] == location.name)
    if info.image_encoder is None:
        out.warn("this base has no image encoder, so no appearance guidance: see --image-encoder")
    out.result(location.name, row)


def _place(model: str) -> str:
    """A folder is kept by its absolute path: commands run anywhere."""
    from engine.bases.hub import folder_at

    folder = folder_at(model)
    return model if folder is None else str(folder)

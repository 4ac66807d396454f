"""`dv base add`: another base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.terminal.base_rows import base_rows
from dreamvideo_cli.terminal.options import JsonOption
from dreamvideo_cli.terminal.output import Out

if TYPE_CHECKING:
    pass


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A diffusers folder, a hub id, or a .pth of VGen's denoiser.")
    ],
    image_encoder: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A CLIP image encoder's folder or hub id, where the model has none."),
    ] = None,
    motion_module: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="An AnimateDiff motion module's folder or hub id, for a Stable Diffusion model that has none; "
            "without one it is a base for Tune-A-Video.",
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="With a .pth: the base, folder or hub id that has the other parts."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With a .pth: the new folder.", show_default="the file's name"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Add a base, after a look at its parts.

    Example: dv base add modelscope ali-vilab/text-to-video-ms-1.7b
    """
    from dreamvideo_cli.jobs.bases import fingerprint_of
    from dreamvideo_cli.jobs.importing import base_from_vgen, is_vgen_denoiser
    from engine.bases.location import BaseLocation, inspect_base
    from registry import Registry, check_new_name

    encoder, motion = (_place(part) if part else None for part in (image_encoder, motion_module))
    out = Out(json=json)
    with Registry.open() as registry:
        registry.check_new_base(name)
        if is_vgen_denoiser(model, beside, into):
            model = str(base_from_vgen(Path(model), str(beside), into, registry))
        location = BaseLocation(check_new_name(name), _place(model), encoder, motion)
        info = inspect_base(location)
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

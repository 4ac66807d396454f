"""`dv export`: adapters in one portable file, or the whole registry; or one adapter for another program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dreamvideo_cli.jobs.targets import check_file
from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import bytes_text, count_text
from engine.errors import InputError
from engine.files import written_aside

if TYPE_CHECKING:
    from engine.adapters.exchange import Exchange
    from registry import Adapter, Registry


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAMES", help="Adapters, as NAME (its newest version) or NAME@N.", autocompletion=adapter_names()
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to.", show_default="NAME-N.dvpack, or NAME-N.safetensors"
        ),
    ] = None,
    form: Annotated[
        Literal["dvpack", "diffusers", "comfyui"],
        typer.Option("--format", help="For dv, or one LoRA for diffusers' load_lora_weights or for ComfyUI."),
    ] = "dvpack",
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Every version of the names given.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole registry: adapters, bases, videos' history.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:  # fmt: skip
    """Write adapters into one file that any dv can import, and print its path.

    With --format, write one adapter that was learnt by --method lora for another program.
    Example: dv export chowchow guitar -o for-a-friend.dvpack
    """
    from registry import Registry

    if everything == bool(names):
        raise InputError("name the adapters to export, or give --all for the whole registry")
    if everything and all_versions:
        raise InputError("--all has all versions of all names: leave out --all-versions")
    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry:
        adapters = _meant(registry, names or [], all_versions=all_versions)
        if form != "dvpack":
            _export_lora(registry, adapters, form, output, force, out)
            return
        target = output or Path(
            "dv-registry.dvpack" if everything else f"{adapters[0].name}-{adapters[0].version}.dvpack"
        )
        check_file(target, force=force)
        with written_aside(target, replace=force) as partial:
            size = registry.export(partial, None if everything else adapters)
        count = len(registry.adapters()) if everything else len(adapters)
    out.note(f"{count_text(count, 'adapter')}, {bytes_text(size)}")
    out.result(str(target), {"path": str(target), "bytes": size, "adapters": count})


def _export_lora(
    registry: Registry, adapters: list[Adapter], form: Exchange, output: Path | None, force: bool, out: Out
) -> None:
    from dreamvideo_cli.jobs.exchanging import export_lora
    from dreamvideo_cli.terminal.reporting import Reporter

    if len(adapters) != 1:
        raise InputError(f"a LoRA's file is of one adapter: name one with --format {form}")
    target = output or Path(f"{adapters[0].name}-{adapters[0].version}.safetensors")
    check_file(target, force=force)
    with Reporter(out) as reporter:
        size = export_lora(registry, adapters[0], form, target, force=force, on_event=reporter)
    out.note(f"{adapters[0].id} for {form}, {bytes_text(size)}")
    out.result(str(target), {"path": str(target), "bytes": size, "adapters": 1})


def _meant(registry: Registry, names: list[str], *, all_versions: bool) -> list[Adapter]:
    found: dict[str, Adapter] = {}
    for name in names:
        newest = registry.find(name)
        if all_versions and "@" in name:
            raise InputError(f"{name} is one version: leave out --all-versions, or the @")
        found |= {a.id: a for a in (registry.adapters(name=newest.name) if all_versions else [newest])}
    return list(found.values())

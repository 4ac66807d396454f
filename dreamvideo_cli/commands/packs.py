"""`dv export`, `dv import`: adapters in one portable file, or the whole registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamvideo_cli.jobs.targets import check_file
from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.options import DryRunOption, JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.terminal.rows import adapter_data
from dreamvideo_cli.wording import bytes_text, count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from registry import Adapter, Registry

_PACKED = (
    Column("id", "Name", style="bold"),
    Column("bytes", "Size", lambda size: bytes_text(int(str(size))), "right"),
    Column("file_hash", "SHA-256", style="dim"),
)


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAMES", help="Adapters, as NAME (its newest version) or NAME@N.", autocompletion=adapter_names()
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to.", show_default="NAME-N.dvpack")
    ] = None,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Every version of the names given.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole registry: adapters, bases, videos' history.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:  # fmt: skip
    """Write adapters into one file that any dv can import, and print its path.

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
        target = output or Path(
            "dv-registry.dvpack" if everything else f"{adapters[0].name}-{adapters[0].version}.dvpack"
        )
        check_file(target, force=force)
        size = registry.export(target, None if everything else adapters)
        count = len(registry.adapters()) if everything else len(adapters)
    out.note(f"{count_text(count, 'adapter')}, {bytes_text(size)}")
    out.result(str(target), {"path": str(target), "bytes": size, "adapters": count})


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What dv export wrote.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMES", help="Only these, as NAME or NAME@N.", show_default="all in it"),
    ] = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Another name for it.")] = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take in adapters that were exported, and print their ids here. All are checked before the first comes in.

    One that is here already stays as it is. Example: dv import for-a-friend.dvpack
    """
    from registry import Registry
    from registry.packing import read_manifest

    out = Out(json=json, quiet=quiet)
    if dry_run:
        rows = [
            {"id": each.id, "bytes": sum(each.files.values()), "file_hash": each.file_hash}
            for each in read_manifest(file).adapters
        ]
        out.table(rows, _PACKED, id_key="id", empty=f"There is no adapter in {file}.")
        return
    with Registry.open() as registry:
        imported = registry.import_from(file, only=names or (), name=name)
    if json:
        out.data([{"was": each.was, "is_new": each.is_new, **adapter_data(each.adapter)} for each in imported])
    for each in () if json else imported:
        out.result(each.adapter.id, None)
        if not each.is_new:
            out.note(f"{each.was} was here already, as {each.adapter.id}")
        elif each.was != each.adapter.id:
            out.note(f"{each.was} became {each.adapter.id}")


def _meant(registry: Registry, names: list[str], *, all_versions: bool) -> list[Adapter]:
    found: dict[str, Adapter] = {}
    for name in names:
        newest = registry.find(name)
        if all_versions and "@" in name:
            raise InputError(f"{name} is one version: leave out --all-versions, or the @")
        found |= {a.id: a for a in (registry.adapters(name=newest.name) if all_versions else [newest])}
    return list(found.values())

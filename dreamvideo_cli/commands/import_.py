"""`dv import`: adapters from an exported file, a LoRA, or one of the files of the paper's authors' code (VGen)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.jobs.exchanging import ImportedLora, import_lora
from dreamvideo_cli.jobs.importing import VgenFile, VgenOptions, import_vgen, is_vgen
from dreamvideo_cli.terminal.options import DryRunOption, JsonOption, QuietOption, options_of
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.terminal.rows import adapter_data
from dreamvideo_cli.wording import bytes_text
from engine.errors import InputError

_PACKED = (
    Column("id", "Name", style="bold"),
    Column("bytes", "Size", lambda size: bytes_text(int(str(size))), "right"),
    Column("file_hash", "SHA-256", style="dim"),
)
_OF_LORAS = {"kind", "base"}
"""Of the options for files of VGen's, those that a LoRA reads too."""


@options_of(VgenOptions, panel="Files of VGen's, and LoRAs (--kind, --base)")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What dv export wrote, a LoRA (.safetensors), or a .pth of VGen's."),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMES", help="Only these, as NAME or NAME@N.", show_default="all in it"),
    ] = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Another name for it.")] = None,
    trigger: Annotated[
        str | None,
        typer.Option(
            "--trigger",
            metavar="TEXT",
            help='What a LoRA\'s subject is called, as "sks dog".',
            show_default="what its file says",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    class_word: Annotated[
        str | None, typer.Option("--class", metavar="WORD", help="With a subject of VGen's: its class word.")
    ] = None,
    **options: Any,
) -> None:
    """Take in adapters that were exported, and print their ids here. All are checked before the first comes in.

    One that is here already stays as it is. A LoRA, for the base that is used or that --base names, becomes the next
    version of a name. Example: dv import for-a-friend.dvpack
    """
    from registry import Registry
    from registry.packing import read_manifest

    out, given = Out(json=json, quiet=quiet), VgenFile(class_word=class_word, **options)
    is_lora = file.suffix.lower() == ".safetensors"
    if is_lora and replace(given, **dict.fromkeys(_OF_LORAS)) != VgenFile():
        raise InputError(f"{file} is a LoRA: of the options for files of VGen's it reads --kind and --base alone")
    if trigger is not None and not is_lora:
        raise InputError(f"--trigger is for a LoRA (.safetensors), and {file.name} is none")
    if is_lora or is_vgen(file, given):
        if names:
            raise InputError(f"{file.name} holds one adapter: leave out names, or give it another with --as")
        with Registry.open() as registry:
            if is_lora:
                lora = ImportedLora(file, name, given.kind, given.base, trigger)
                made = import_lora(lora, registry, dry_run=dry_run)
            else:
                made = import_vgen(file, name, given, registry, dry_run=dry_run)
        if made is not None:
            out.result(made.id, adapter_data(made))
        return
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

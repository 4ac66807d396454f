"""What `dv history` will tell of a video, and what a video's own note tells of how to make it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.terminal.output import Out
from engine.bases.location import EMBEDDED
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig

if TYPE_CHECKING:
    from registry import Registry


def remember(path: Path, record: Mapping[str, Any]) -> None:
    """Note a video that was just made. One that can't be noted is there all the same: a warning has to do."""
    from engine.data.files import sha256_of
    from registry import NewComposition, Registry, RegistryError

    made = NewComposition(
        path=str(path.absolute()), sha256=sha256_of(path), bytes=path.stat().st_size, record=dict(record)
    )
    try:
        with Registry.open() as registry:
            registry.compositions.add(made)
    except RegistryError as error:
        Out().warn(f"{path} is made, but not in the history: {error}")


def wish_of(file: Path, registry: Registry) -> dict[str, Any]:
    """The options of `dv compose` that made a file, by what its own note says: adapters by their hash.

    Raises `InputError` for a file that dv didn't make, or that was made with what isn't here.
    """
    from engine.media.metadata import read_metadata

    record = read_metadata(file)
    try:
        settings = dict(record["settings"])
        wish: dict[str, Any] = {
            "prompt": str(record["prompt"]),
            "seed": int(record["seed"]),
            "dtype": str(record["dtype"]),
            "base": _base(record["base"], registry, file),
            "subject": _adapter(record, "subject", registry, file),
            "motion": _adapter(record, "motion", registry, file),
        }
        guided = record["appearance"] and record["appearance"]["from"] == "picture"
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the note in {file} of how it was made is damaged: {error!r}") from error
    known = {field.name for field in fields(ComposeConfig)}
    if strange := sorted(set(settings) - known):
        raise InputError(f"{file} was made with settings that this dv doesn't know: {', '.join(strange)}. Update dv.")
    precisions = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
    if wish["dtype"] not in precisions:
        raise InputError(f"the note in {file} of how it was made is damaged: the precision {wish['dtype']!r}")
    return {
        **wish,
        "dtype": precisions[wish["dtype"]],
        "settings": settings,
        "picture": record["appearance"]["sha256"] if guided else None,
    }


def check_picture(file: Path, sha256: str, picture: Path | None) -> None:
    """Raise `InputError` unless `picture` is the one that guided the appearance of `file`."""
    from engine.data.files import sha256_of

    if picture is None:
        raise InputError(f"a picture guided the appearance of {file}, and only its hash is in there: add --appearance")
    if sha256_of(picture) != sha256:
        raise InputError(f"{picture} isn't the picture that guided the appearance of {file}: its hash is another")


def _adapter(record: Mapping[str, Any], kind: Any, registry: Registry, file: Path) -> str | None:
    if kind not in record:
        return None
    name, sha256 = str(record[kind]["name"]), str(record[kind]["sha256"])
    found = registry.with_hash(sha256, kind)
    if found is None:
        raise InputError(
            f"{file} was made with the {kind} {name} ({sha256[:12]}), which isn't here under any name: "
            "import it, or learn it anew"
        )
    return found.id


def _base(base: Mapping[str, Any], registry: Registry, file: Path) -> str:
    from dreamvideo_cli.jobs.bases import SHORT, fingerprint_of

    name, fingerprint = str(base["name"]), str(base["fingerprint"])
    for row in registry.bases():
        if row.fingerprint == fingerprint:
            return row.name
    if fingerprint_of(EMBEDDED) == fingerprint:
        return EMBEDDED.name
    # A folder or a hub id was named with --base and never added.
    if re.search(r"[/\\]", name):
        return name
    raise InputError(
        f"{file} was made on the base {name} ({fingerprint[:SHORT]}), which isn't among your bases.\n"
        "Add it with: dv base add NAME MODEL, or name another with --base."
    )

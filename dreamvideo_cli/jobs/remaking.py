"""How a file was made, by its own record, as a request that makes it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.bases import SHORT, fingerprint_of
from dreamvideo_cli.jobs.composing import ComposeRequest, read_with
from dreamvideo_cli.jobs.kinds import AdapterKind
from engine.bases.location import EMBEDDED
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig

if TYPE_CHECKING:
    from registry import Registry

_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float8_e4m3fn": "fp8"}


def request_of(file: Path, registry: Registry, picture: Path | None) -> ComposeRequest:
    """The request that made a file: adapters by their hash, whatever their names are now. `picture` is the one that
    guided its appearance, where one did.

    Raises `InputError` for a file that dv didn't make, or that was made with what isn't here.
    """
    from engine.media.metadata import read_metadata

    record = read_metadata(file)
    try:
        settings, precision = dict(record["settings"]), str(record["dtype"])
        prompt, seed = str(record["prompt"]), int(record["seed"])
        base = _base(record["base"], registry, file)
        subject, motion = (_adapter(record, kind, registry, file) for kind in ("subject", "motion"))
        guided = record["appearance"] and record["appearance"]["from"] == "picture"
        wanted = str(record["appearance"]["sha256"]) if guided else None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the note in {file} of how it was made is damaged: {error!r}") from error
    known = {field.name for field in fields(ComposeConfig)}
    if strange := sorted(set(settings) - known):
        raise InputError(f"{file} was made with settings that this dv doesn't know: {', '.join(strange)}. Update dv.")
    if precision not in _PRECISIONS:
        raise InputError(f"the note in {file} of how it was made is damaged: the precision {precision!r}")
    if wanted is not None:
        _check_picture(file, wanted, picture)
    read = read_with([kind for kind, name in (("subject", subject), ("motion", motion)) if name is not None])
    return ComposeRequest(
        prompt, subject, motion, picture, seed=seed, base=base, dtype=_PRECISIONS[precision],
        settings={name: value for name, value in settings.items() if name in read},
    )  # fmt: skip


def _check_picture(file: Path, sha256: str, picture: Path | None) -> None:
    """Raise `InputError` unless `picture` is the one that guided the appearance of `file`."""
    from engine.data.files import sha256_of

    if picture is None:
        raise InputError(f"a picture guided the appearance of {file}, and only its hash is in there: add `appearance`")
    if sha256_of(picture) != sha256:
        raise InputError(f"{picture} isn't the picture that guided the appearance of {file}: its hash is another")


def _adapter(record: Mapping[str, Any], kind: AdapterKind, registry: Registry, file: Path) -> str | None:
    from registry import adapters_in

    noted = [adapter for adapter in adapters_in(record) if adapter.role == kind]
    if not noted:
        return None
    if len(noted) > 1:
        names = ", ".join(adapter.name for adapter in noted)
        raise InputError(f"{file} was made with more than one {kind}, which only Python composes: {names}")
    name, sha256 = noted[0].name, noted[0].file_hash
    found = registry.with_hash(sha256, kind)
    if found is None:
        raise InputError(
            f"{file} was made with the {kind} {name} ({sha256[:12] or 'never published'}), which isn't here under any "
            "name: import it, or learn it anew"
        )
    return found.id


def _base(base: Mapping[str, Any], registry: Registry, file: Path) -> str:
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
        "Add it with: dv base add NAME MODEL, or name another with `base`."
    )

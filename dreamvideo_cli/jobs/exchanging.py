"""LoRAs to and from other programs: what `dv export --format` writes, and what `dv import` takes beside packs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.bases import base_for, chosen_base, fingerprint_of
from dreamvideo_cli.jobs.events import OnEvent
from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.jobs.publishing import imported_name, imported_row
from engine.errors import AdapterError, InputError
from engine.prompts import PLACEHOLDER, check_text
from engine.versions import version_of_dv

if TYPE_CHECKING:
    from engine.adapters.exchange import Exchange
    from engine.bases.location import BaseInfo
    from registry import Adapter, Registry

_OURS = "dv_adapter"
"""The header's entry with all that dv knows of an adapter."""
_IMPORTED = "imported"


@dataclass(frozen=True)
class ImportedLora:
    """What a person says of a LoRA's file. `trigger` is what stands for a subject in prompts. A `name` of None is the
    file's own; of the rest, None is what the file's header says, where dv wrote it."""

    file: Path
    name: str | None = None
    kind: AdapterKind | None = None
    base: str | None = None
    trigger: str | None = None


def export_lora(
    registry: Registry, adapter: Adapter, form: Exchange, target: Path, *, force: bool, on_event: OnEvent
) -> int:
    """Write one adapter for another program, and give the file's bytes.

    Its header says by strings what that program needs beside the weights: base, trigger, shift, steps and sampler.
    Raises the engine's and the registry's errors.
    """
    from engine.adapters.exchange import write_exchange
    from engine.adapters.storage import read_adapter
    from engine.bases.families import family_named
    from engine.bases.location import inspect_base

    info = inspect_base(base_for(registry, [adapter], on_event))
    files = read_adapter(registry.path(adapter))
    about = {**_about(info), "trigger": files.word if adapter.kind == "subject" else "", _OURS: _plain(adapter)}
    return write_exchange(files, family_named(info.family), form, target, about, replace=force)


def import_lora(given: ImportedLora, registry: Registry, *, dry_run: bool = False) -> Adapter | None:
    """Take in a LoRA's file as the next version of a name; give that, or None for a dry run.

    Everything is checked first. Raises `InputError` for what neither the person nor the file says, `AdapterError` for a
    file that doesn't fit, and the registry's errors.
    """
    from engine.adapters.exchange import read_exchange
    from engine.adapters.forms import restored
    from engine.adapters.storage import AdapterFiles, write_adapter
    from engine.bases.families import family_named
    from engine.bases.location import inspect_base

    name = imported_name(given.name, given.file, "lora")
    location = chosen_base(registry, given.base)
    info = inspect_base(location)
    family = family_named(info.family)
    weights, about = read_exchange(given.file, family, family.skeleton(info))
    known = _known(about)
    kind = given.kind or known.get("kind")
    if kind not in ("subject", "motion"):
        raise InputError(f"{given.file.name} does not say what it is: give `kind` subject or motion")
    if kind == "motion" and given.trigger is not None:
        raise InputError("`trigger` is a subject's: leave it out for a motion")
    trigger = given.trigger or about.get("trigger", "")
    check_text(trigger, "`trigger`")
    if kind == "subject" and not trigger.strip():
        raise InputError(f'{given.file.name} does not say what its subject is called: give `trigger`, as "sks dog"')
    fingerprint = fingerprint_of(location, info)
    if given.base is None and known.get("base_fingerprint", fingerprint) != fingerprint:
        raise AdapterError(
            f"{given.file.name} was made for the base {known.get('base_name')}, and {location.name} is another: name "
            "the base to use it with by `base`"
        )
    own = {"name": name, "kind": kind, "base_fingerprint": fingerprint, "base_name": location.name}
    row = imported_row(**{"method": _IMPORTED, **known, **own, "class_word": _class_word(trigger)})
    word = trigger if kind == "subject" else PLACEHOLDER
    ranks = restored("low-rank", weights).widths
    files = AdapterFiles(kind, row.method, fingerprint, weights, ranks, form="low-rank", word=word)
    registry.next_version(name, kind)
    if dry_run:
        return None
    with registry.staging() as staged:
        write_adapter(files, staged)
        return registry.publish(staged, row, [])


def _about(info: BaseInfo) -> dict[str, str]:
    """How videos are made on a base, as strings."""
    from engine.bases.location import scheduler_config
    from engine.planning import recommended_composing

    config = recommended_composing(info)
    scheduler = scheduler_config(info)
    return {
        "made_by": f"dv {version_of_dv()}",
        "base": info.location.model if not Path(info.location.model).exists() else info.location.name,
        "shift": str(scheduler.get("flow_shift", scheduler.get("shift", ""))),
        "steps": str(config.steps),
        "sampler": config.sampler,
        "guidance_scale": f"{config.guidance_scale:g}",
    }


def _plain(adapter: Adapter) -> str:
    """All that an adapter's row says of how it was learnt."""
    from registry import NewAdapter

    fields = {name: value for name, value in asdict(adapter).items() if name in NewAdapter.__dataclass_fields__}
    return json.dumps(fields, sort_keys=True)


def _known(about: dict[str, str]) -> dict[str, Any]:
    """What dv wrote of an adapter into a header; nothing where somebody else wrote the file, or changed it."""
    from pydantic import TypeAdapter

    from registry import NewAdapter
    from registry.validation import check_json, check_row

    try:
        found = json.loads(about.get(_OURS, "{}"))
        if not isinstance(found, dict) or found.keys() != NewAdapter.__dataclass_fields__.keys():
            return {}
        check_json(found)
        check_row(vars(TypeAdapter(NewAdapter).validate_python(found)))
    except (ValueError, RecursionError):
        return {}
    return found


def _class_word(trigger: str) -> str | None:
    """The class word of "sks dog"; None for a word alone."""
    return trigger.partition(" ")[2] or None

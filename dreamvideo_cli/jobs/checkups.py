"""What `dv doctor` looks at: each check says how it is, and what to do where it isn't well."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dreamvideo_cli.jobs.bases import SHORT, fingerprint_of, location_of
from dreamvideo_cli.wording import bytes_text, count_text
from engine.bases.location import EMBEDDED, inspect_base
from engine.errors import EngineError

if TYPE_CHECKING:
    from registry import Registry

Health = Literal["ok", "note", "bad"]
_TIGHT = 5 * 10**9
"""Free bytes below which a run may meet a full disk: snapshots and videos of a full-size base."""


@dataclass(frozen=True)
class Checkup:
    """One thing that was looked at."""

    what: str
    health: Health
    found: str
    advice: str = ""


def checkups(folder: Path) -> Iterator[Checkup]:
    """Look at everything, the quick things first. `folder` is the registry's."""
    yield _ffmpeg()
    yield _disk(folder)
    yield from _registry(folder)
    yield from _devices()


def _ffmpeg() -> Checkup:
    from engine.media.ffmpeg import executable, run

    try:
        run(["-version"])
        return Checkup("ffmpeg", "ok", executable())
    except (EngineError, OSError) as error:
        return Checkup(
            "ffmpeg", "bad", str(error), "Reinstall the package imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to one."
        )


def _disk(folder: Path) -> Checkup:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    usage = shutil.disk_usage(there)
    found = f"{bytes_text(usage.free)} free of {bytes_text(usage.total)} for {folder}"
    if usage.free >= _TIGHT:
        return Checkup("disk", "ok", found)
    return Checkup("disk", "note", found, "Free some space, see: dv prune --dry-run. Or set DV_HOME to another disk.")


def _registry(folder: Path) -> Iterator[Checkup]:
    from registry import Registry, RegistryError
    from registry.rebuilding import damage_of

    try:
        damage = damage_of(folder)
        if damage is not None:
            advice = "Stop other dv processes, then: dv doctor --rebuild"
            yield Checkup("registry", "bad", damage.split(" The adapters' folders")[0], advice)
            return
        with Registry.open(folder) as registry:
            for look in (_adapters, _leftovers, _bases):
                yield from look(registry)
    except RegistryError as error:
        yield Checkup("registry", "bad", str(error))


def _adapters(registry: Registry) -> Iterator[Checkup]:
    """Only whether the files are there: to hash them all is `dv verify`'s work."""
    adapters = registry.adapters()
    gone = [adapter.id for adapter in adapters if not (registry.path(adapter) / "adapter.json").is_file()]
    size = sum(adapter.size for adapter in adapters)
    yield Checkup("registry", "ok", f"{count_text(len(adapters), 'adapter')}, {bytes_text(size)}, in {registry.folder}")
    if gone:
        advice = "Import them from a copy, or take their rows away: dv rm"
        yield Checkup("registry", "bad", f"files are gone of {', '.join(gone[:8])}", advice)


def _leftovers(registry: Registry) -> Iterator[Checkup]:
    from registry.pruning import Limits

    plan = registry.pruner.plan(Limits(whats=frozenset({"orphan", "snapshot"})))
    orphans = [each for each in plan.doomed if each.what == "orphan"]
    unfinished = [each for each in plan.doomed if each.what == "snapshot"]
    if plan.unknown:
        found = f"{count_text(len(plan.unknown), 'folder')} of adapters that it doesn't know, as {plan.unknown[0]}"
        yield Checkup("registry", "bad", found, "dv doctor --rebuild")
    if orphans:
        size = bytes_text(sum(each.bytes for each in orphans))
        found = f"{count_text(len(orphans), 'leftover')} of killed processes, {size}"
        yield Checkup("registry", "note", found, "dv prune --orphans")
    if unfinished:
        size = bytes_text(sum(each.bytes for each in unfinished))
        found = (
            f"{count_text(len(unfinished), 'unfinished run')}, {size}: {', '.join(each.id for each in unfinished[:8])}"
        )
        yield Checkup("registry", "note", found, "dv runs resume NAME, or dv prune --snapshots")


def _bases(registry: Registry) -> Iterator[Checkup]:
    for location in (EMBEDDED, *(location_of(row) for row in registry.bases())):
        name = f"base {location.name}"
        try:
            info = inspect_base(location)
            mark = fingerprint_of(location, info)[:SHORT] if location is EMBEDDED else info.family
            yield Checkup(name, "ok", f"{info.location.model} ({mark})" if location is not EMBEDDED else mark)
        except EngineError as error:
            yield Checkup(name, "bad", str(error), f"Put it back, or forget it: dv base rm {location.name}")


def _devices() -> Iterator[Checkup]:
    """Last: torch takes seconds to load."""
    from engine.bases.load import best_device

    best = best_device()
    named: dict[str, Callable[[], str]] = {"cuda": _cuda, "mps": lambda: "Apple's GPU", "cpu": _cpu}
    if best == "cpu":
        advice = "For the embedded base that is enough. Larger ones want a GPU and a torch that is built for it."
        yield Checkup("device", "note", named[best](), advice)
    else:
        yield Checkup("device", "ok", named[best]())


def _cuda() -> str:
    import torch

    parts = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return ", ".join(f"{part.name} with {bytes_text(part.total_memory)}" for part in parts)


def _cpu() -> str:
    import torch

    return f"the CPU alone, {count_text(torch.get_num_threads(), 'thread')}"

"""One `dv compose`: everything checked first, then the base loaded once and a video made for every seed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.choosing_bases import base_for, check_fit, fingerprint_of, named_base
from dreamvideo_cli.output import Out
from dreamvideo_cli.progress import Meter
from dreamvideo_cli.targets import Target, check_writable, targets
from dreamvideo_cli.wording import option_name, size_text, value_text
from engine.bases.location import BaseLocation, inspect_base
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig
from engine.prompts import place_subject
from engine.settings import Resolved, resolve

if TYPE_CHECKING:
    from registry import Adapter, Registry

_FROM_MOTION = ("appearance_strength", "unconditional_appearance_strength")
_SHEET_FRAMES = 8


@dataclass(frozen=True)
class Wish:
    """What the user asked `dv compose` for."""

    prompt: str
    subject: str | None
    motion: str | None
    appearance: Path | None
    seed: int
    count: int
    output: Path | None
    contact_sheet: Path | None
    force: bool
    base: str | None
    allow_other_base: bool
    device: str | None
    dtype: str
    deterministic: bool
    options: Mapping[str, object]


@dataclass(frozen=True)
class Job:
    """A wish whose every part was found and checked."""

    wish: Wish
    prompt: str
    base: BaseLocation
    adapters: Mapping[str, Adapter]
    folders: Mapping[str, Path]
    settings: Resolved[ComposeConfig]
    targets: tuple[Target, ...]


def prepare(wish: Wish, registry: Registry, out: Out) -> Job:
    """Find and check everything that a composition needs, without loading a model.

    Raises `InputError`, `BaseError`, `AdapterError`, and the registry's errors.
    """
    asked = (("subject", wish.subject), ("motion", wish.motion))
    adapters = {kind: registry.find(name, kind=kind) for kind, name in asked if name is not None}  # type: ignore[arg-type]
    subject = adapters.get("subject")
    prompt = place_subject(
        wish.prompt,
        subject=subject.name if subject else None,
        class_word=subject.class_word if subject else None,
        identifier=subject.hyperparameters.get("identifier") if subject else None,
    )
    seeds = range(wish.seed, wish.seed + wish.count)
    named = prompt.replace("*", subject.name) if subject else prompt
    paths = targets(wish.output, named, seeds, force=wish.force)
    _check_pictures(wish, adapters, paths)
    base = _base(wish, list(adapters.values()), registry, out)
    settings = settings_for(inspect_base(base).recommended.get("compose", {}), adapters.get("motion"), wish.options)
    folders = {kind: registry.path(adapter) for kind, adapter in adapters.items()}
    return Job(wish, prompt, base, adapters, folders, settings, tuple(paths))


def settings_for(
    recommended: Mapping[str, object], motion: Adapter | None, options: Mapping[str, object]
) -> Resolved[ComposeConfig]:
    """Option, then what the motion was learnt with, then the base's recommendation, then the paper."""
    learnt = {} if motion is None else motion.hyperparameters
    own = {name: learnt[name] for name in _FROM_MOTION if name in learnt}
    settings = resolve(ComposeConfig(), {**recommended, **own}, options)
    from_adapter = {name: "adapter" for name in own if settings.origins[name] == "base"}
    return replace(settings, origins={**settings.origins, **from_adapter})


def carry_out(job: Job, out: Out) -> None:
    """Load the base, make every video, print each path as soon as it is there."""
    from engine.bases.load import load_base
    from engine.media.video import write_video

    _announce(job, out)
    wish = job.wish
    base = load_base(job.base, device=wish.device, dtype=wish.dtype, deterministic=wish.deterministic)
    made: list[dict[str, Any]] = []
    sheet: list[tuple[str, Any]] = []
    with Meter(out) as meter:
        for target in job.targets:
            frames, record = _composed(job, base, target, meter)
            write_video(frames, target.path, job.settings.config.fps, record)
            made.append({"path": str(target.path), "seed": target.seed, "record": record})
            sheet.append((f"{wish.prompt} (seed {target.seed})", frames))
            if not out.json:
                out.result(str(target.path), made[-1])
    if wish.contact_sheet is not None:
        _write_sheet(wish.contact_sheet, sheet, made[0]["record"])
        made.append({"path": str(wish.contact_sheet), "seed": None, "record": made[0]["record"]})
        if not out.json:
            out.result(str(wish.contact_sheet), made[-1])
    if out.json:
        out.data(made)


def _composed(job: Job, base: Any, target: Target, meter: Meter) -> tuple[Any, dict[str, Any]]:
    from engine.composing import compose

    began = time.perf_counter()

    def report(step: int, steps: int) -> None:
        nonlocal began
        now = time.perf_counter()
        meter.report(f"seed {target.seed}", step, steps, now - began)
        began = now

    composition = compose(
        base,
        job.prompt,
        config=job.settings.config,
        seed=target.seed,
        subject=job.folders.get("subject"),
        motion=job.folders.get("motion"),
        appearance=job.wish.appearance,
        allow_other_base=job.wish.allow_other_base,
        on_step=report,
    )
    learnt = {kind: {"name": a.id, "sha256": a.file_hash} for kind, a in job.adapters.items()}
    return composition.frames, {**composition.record, **learnt}


def _base(wish: Wish, adapters: list[Adapter], registry: Registry, out: Out) -> BaseLocation:
    if wish.base is None and not wish.allow_other_base:
        return base_for(registry, adapters, out)
    base = base_for(registry, adapters[:1], out) if wish.base is None else named_base(registry, wish.base)
    if not wish.allow_other_base:
        check_fit(registry, adapters, base, fingerprint_of(base))
    return base


def _check_pictures(wish: Wish, adapters: Mapping[str, Adapter], paths: list[Target]) -> None:
    """What is read and written beside the videos: the picture of appearance guidance, the contact sheet."""
    if wish.appearance is not None:
        from engine.data.images import read_image

        if "motion" not in adapters:
            raise InputError("--appearance guides a motion's appearance: give one with --motion NAME")
        read_image(wish.appearance)
    if wish.contact_sheet is not None:
        if wish.contact_sheet.suffix.lower() != ".png":
            raise InputError(f"a contact sheet is a PNG: {wish.contact_sheet} must end in .png")
        check_writable(wish.contact_sheet, force=wish.force)
        if any(wish.contact_sheet.absolute() == target.path.absolute() for target in paths):
            raise InputError(f"--contact-sheet and --output are both {wish.contact_sheet}: name two files")


def _announce(job: Job, out: Out) -> None:
    config, origins = job.settings.config, job.settings.origins
    learnt = [f"the {kind} {adapter.id}" for kind, adapter in job.adapters.items()]
    what = " and ".join(learnt) if learnt else "nothing learnt"
    out.note(f'"{job.prompt}" with {what}, on the base {job.base.name}')
    out.note(
        f"{config.frames} frames of {size_text(config.size)} at {config.fps:g} fps, "
        f"{config.steps} steps, guidance {config.guidance_scale:g}"
    )
    told = ("frames", "size", "fps", "steps", "guidance_scale")
    changed = [
        f"{option_name(name)} {value_text(getattr(config, name))} ({origin})"
        for name, origin in origins.items()
        if origin != "paper" and name not in told and getattr(config, name) != getattr(ComposeConfig(), name)
    ]
    if changed:
        out.note("also " + ", ".join(changed))


def _write_sheet(path: Path, rows: list[tuple[str, Any]], record: dict[str, Any]) -> None:
    from engine.media.sheets import contact_sheet, write_sheet

    write_sheet(contact_sheet([(label, list(frames)) for label, frames in rows], columns=_SHEET_FRAMES), path, record)

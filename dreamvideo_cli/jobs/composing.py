"""Composing, for `dv compose` and `dv batch`: everything checked first, then a video made for every seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.bases import base_for, check_fit, fingerprint_of, named_base
from dreamvideo_cli.jobs.history import remember
from dreamvideo_cli.jobs.targets import Target, check_writable, targets
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.progress import Meter
from dreamvideo_cli.wording import option_name, size_text, value_text
from engine.bases.location import BaseLocation, inspect_base
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig
from engine.prompt_limits import notes_on_composing
from engine.prompts import check_text, place_subject
from engine.settings import Resolved, check_seed, resolve

if TYPE_CHECKING:
    from engine.bases.base import Base
    from registry import Adapter, Registry

_FROM_MOTION = ("appearance_strength", "unconditional_appearance_strength")
_SHEET_FRAMES = 8

OnStep = Callable[["Target", int, int, float], None]
"""Called after each step with the target, the step, all steps, and the seconds that this one took."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for: one `dv compose`, or one row of a batch."""

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
    dtype: str | None
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


@dataclass(frozen=True)
class Made:
    """A file that was made: a video, or a contact sheet, which has no seed."""

    path: Path
    seed: int | None
    record: dict[str, Any]

    def data(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"path": str(self.path), "seed": self.seed, "record": self.record}


def prepare(wish: Wish, registry: Registry, out: Out) -> Job:
    """Find and check everything that a composition needs, without loading a model.

    Raises `InputError`, `BaseError`, `AdapterError`, and the registry's errors.
    """
    asked = (("subject", wish.subject), ("motion", wish.motion))
    adapters = {kind: registry.find(name, kind=kind) for kind, name in asked if name is not None}  # type: ignore[arg-type]
    subject = adapters.get("subject")
    check_text(str(wish.options.get("negative_prompt", "")), "--negative-prompt")
    prompt = place_subject(
        check_text(wish.prompt, "the prompt"),
        subject=subject.name if subject else None,
        class_word=subject.class_word if subject else None,
        identifier=subject.hyperparameters.get("identifier") if subject else None,
    )
    seeds = range(wish.seed, wish.seed + wish.count)
    check_seed(seeds[0])
    check_seed(seeds[-1], f"the last of {wish.count} seeds")
    named = prompt.replace("*", subject.name) if subject else prompt
    paths = targets(wish.output, named, seeds, force=wish.force)
    _check_pictures(wish, adapters, paths)
    base = _base(wish, list(adapters.values()), registry, out)
    info = inspect_base(base)
    settings = settings_for(info.recommended.get("compose", {}), adapters.get("motion"), wish.options)
    folders = {kind: registry.path(adapter) for kind, adapter in adapters.items()}
    for note in notes_on_composing(info, prompt, settings.config.negative_prompt, folders.get("subject")):
        out.warn(note)
    return Job(wish, prompt, base, adapters, folders, settings, tuple(paths))


def settings_for(
    recommended: Mapping[str, object], motion: Adapter | None, options: Mapping[str, object]
) -> Resolved[ComposeConfig]:
    """Option, then the option that the motion was learnt with, then the base's recommendation, then whatever else the
    motion was learnt with, then the paper."""
    own: dict[str, object] = {}
    if motion is not None:
        learnt = {name: motion.hyperparameters[name] for name in _FROM_MOTION if name in motion.hyperparameters}
        asked = {name for name in learnt if motion.origins.get(name) == "option"}
        own = {name: value for name, value in learnt.items() if name in asked or name not in recommended}
    settings = resolve(ComposeConfig(), {**recommended, **own}, options)
    from_adapter = {name: "adapter" for name in own if settings.origins[name] == "base"}
    return replace(settings, origins={**settings.origins, **from_adapter})


def carry_out(job: Job, out: Out) -> None:
    """Load the base, make every video, print each path as soon as it is there."""
    from engine.bases.load import notes_on

    _announce(job, out)
    base = load(job)
    for note in notes_on(base.device, base.dtype):
        out.warn(note)
    made: list[dict[str, Any]] = []
    with Meter(out) as meter:
        for one in make(job, base, lambda target, *step: meter.report(f"seed {target.seed}", *step)):
            made.append(one.data())
            if not out.json:
                out.result(str(one.path), made[-1])
    if out.json:
        out.data(made)


def load(job: Job) -> Base:
    """Load the base of a job, and of every other job that is alike in base, device and precision."""
    from engine.bases.load import load_base

    wish = job.wish
    return load_base(job.base, device=wish.device, dtype=wish.dtype or "fp32", deterministic=wish.deterministic)


def make(job: Job, base: Base, on_step: OnStep) -> Iterator[Made]:
    """Make a job's files one after another; each is whole when it is given. The base is left as it was."""
    from engine.media.video import write_video

    wish = job.wish
    sheet: list[tuple[str, Any]] = []
    record: dict[str, Any] = {}
    for target in job.targets:
        frames, noted = _composed(job, base, target, on_step)
        write_video(frames, target.path, job.settings.config.fps, noted)
        remember(target.path, noted)
        record = record or noted
        if wish.contact_sheet is not None:
            sheet.append((f"{wish.prompt} (seed {target.seed})", frames))
        yield Made(target.path, target.seed, noted)
    if wish.contact_sheet is not None:
        _write_sheet(wish.contact_sheet, sheet, record)
        yield Made(wish.contact_sheet, None, record)


def _composed(job: Job, base: Base, target: Target, on_step: OnStep) -> tuple[Any, dict[str, Any]]:
    from engine.composing import compose

    began = time.perf_counter()

    def report(step: int, steps: int) -> None:
        nonlocal began
        now = time.perf_counter()
        on_step(target, step, steps, now - began)
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
    return composition.frames, {**composition.record, **learnt_of(job)}


def learnt_of(job: Job) -> dict[str, dict[str, str]]:
    """What a file's record says of the adapters."""
    return {kind: {"name": a.id, "sha256": a.file_hash} for kind, a in job.adapters.items()}


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
    read = {f.name for f in fields(config) if f.metadata.get("needs", "") in ("", *job.adapters)} - {*told}
    changed = [
        f"{option_name(name)} {value_text(getattr(config, name))} ({origin})"
        for name, origin in origins.items()
        if name in read and getattr(config, name) != getattr(ComposeConfig(), name)
    ]
    if changed:
        out.note("also " + ", ".join(changed))


def _write_sheet(path: Path, rows: list[tuple[str, Any]], record: dict[str, Any]) -> None:
    from engine.media.sheets import contact_sheet, write_sheet

    write_sheet(contact_sheet([(label, list(frames)) for label, frames in rows], columns=_SHEET_FRAMES), path, record)

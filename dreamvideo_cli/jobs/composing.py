"""Composing: everything checked first, then a video made for every seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.bases import base_for, check_fit, fingerprint_of, named_base
from dreamvideo_cli.jobs.events import FileMade, OnEvent, Planned, Step, Warned, ignore
from dreamvideo_cli.jobs.execution.units import Loading
from dreamvideo_cli.jobs.history import remember
from dreamvideo_cli.jobs.sources import clips_to_start_from
from dreamvideo_cli.jobs.targets import Target, Write, check_writable, published, targets
from engine.adapters.applied import AppliedAdapter
from engine.bases.composable import check_composable
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.errors import InputError
from engine.evaluation.expected import ReferenceClip
from engine.methods.dreamvideo import ComposeConfig
from engine.methods.table import methods_of, recommended_composing_with
from engine.prompt_limits import notes_on_composing
from engine.prompts import check_text, place_subject
from engine.settings import Resolved, check_seed, resolve

if TYPE_CHECKING:
    from engine.bases.base import Base
    from registry import Adapter, Registry

_FROM_MOTION = ("appearance_strength", "unconditional_appearance_strength")
_SHEET_FRAMES = 8

OnTargetStep = Callable[[Target, int, int, float], None]
"""Called after each step with the target, the step, all steps, and the seconds that this one took."""


@dataclass(frozen=True)
class ComposeRequest:
    """A composition that somebody asks for: `count` videos of the seeds from `seed` on. Raises `InputError`."""

    prompt: str
    subject: str | None = None
    motion: str | None = None
    appearance: Path | None = None
    seed: int = 0
    count: int = 1
    output: Path | None = None
    contact_sheet: Path | None = None
    force: bool = False
    base: str | None = None
    allow_other_base: bool = False
    device: str | None = None
    dtype: str | None = None
    deterministic: bool = False
    offload: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"`count` is {self.count}: it must be at least 1")
        check_seed(self.seed)
        check_seed(self.seeds[-1], f"the last of {self.count} seeds")

    @property
    def seeds(self) -> range:
        """One for each video."""
        return range(self.seed, self.seed + self.count)


@dataclass(frozen=True)
class ComposePlan:
    """A request whose every part was found and checked. `clips` are those of the motion that a share of the starting
    noise is of."""

    request: ComposeRequest
    prompt: str
    base: BaseLocation
    adapters: tuple[Adapter, ...]
    folders: tuple[Path, ...]
    settings: Resolved[ComposeConfig]
    targets: tuple[Target, ...]
    sheet: Target | None = None
    clips: tuple[ReferenceClip, ...] = ()

    @property
    def files(self) -> tuple[Target, ...]:
        """All that will be made, in that order."""
        return self.targets if self.sheet is None else (*self.targets, self.sheet)

    @property
    def loading(self) -> Loading:
        """The base as this plan needs it loaded."""
        request = self.request
        return Loading(self.base, request.device, request.dtype, request.deterministic, request.offload)


@dataclass(frozen=True)
class ComposedFile:
    """A file that was made: a video, or a contact sheet, which has no seed. `record` says how."""

    path: Path
    seed: int | None
    record: dict[str, Any]

    def data(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"path": str(self.path), "seed": self.seed, "record": self.record}


def compose(request: ComposeRequest, registry: Registry, on_event: OnEvent = ignore) -> list[ComposedFile]:
    """Check everything, load the base, make every video, and tell of each as soon as it is there.

    Raises the engine's and the registry's errors.
    """
    from engine.bases.load import notes_on

    plan = plan_composition(request, registry, on_event)
    on_event(Planned(plan))
    base = plan.loading.load()
    for note in notes_on(base.device, base.dtype):
        on_event(Warned(note))

    def on_step(target: Target, step: int, steps: int, seconds: float) -> None:
        on_event(Step(f"seed {target.seed}", step, steps, seconds))

    made = []
    for file in make_files(plan, base, registry, on_step, on_event):
        made.append(file)
        on_event(FileMade(file.path, file.seed, file.record))
    return made


def plan_composition(request: ComposeRequest, registry: Registry, on_event: OnEvent = ignore) -> ComposePlan:
    """Find and check everything that a composition needs, without loading a model.

    Raises `InputError`, `BaseError`, `AdapterError`, and the registry's errors.
    """
    from engine.media.video import check_rate

    subject = registry.find_at(request.subject, kind="subject") if request.subject is not None else None
    motion = registry.find_at(request.motion, kind="motion") if request.motion is not None else None
    adapters = tuple(adapter for adapter in (subject, motion) if adapter is not None)
    check_text(str(request.settings.get("negative_prompt", "")), "`negative_prompt`")
    prompt = placed_prompt(request.prompt, subject)
    named = prompt.replace("*", subject.name) if subject else prompt
    chosen = targets(request.output, named, request.seeds, force=request.force)
    sheet = _sheet(request, chosen)
    base = _base(request, list(adapters), registry, on_event)
    info = inspect_base(base)
    check_settings_are_read(request.settings, [adapter.kind for adapter in adapters])
    recommended = recommended_composing_with(subject.method if subject is not None else None, info.recommended)
    settings = settings_for(recommended, motion, request.settings)
    check_composable(info, settings.config)
    clips = clips_to_start_from(motion, settings.config, registry)
    for target in chosen:
        check_rate(target.path, settings.config.fps)
    _check_device(request)
    _check_appearance(request, info)
    folders = tuple(registry.path(adapter) for adapter in adapters)
    named_by = registry.path(subject) if subject is not None else None
    for note in notes_on_composing(info, prompt, settings.config.negative_prompt, named_by):
        on_event(Warned(note))
    return ComposePlan(request, prompt, base, adapters, folders, settings, tuple(chosen), sheet, clips)


def placed_prompt(prompt: str, subject: Adapter | None) -> str:
    """The prompt with `*` where the subject goes. Raises `InputError` where it has no place, or no subject."""
    return place_subject(
        check_text(prompt, "the prompt"),
        subject=subject.name if subject else None,
        class_word=subject.class_word if subject else None,
        identifier=subject.hyperparameters.get("identifier") if subject else None,
    )


def settings_for(
    recommended: Mapping[str, object], motion: Adapter | None, options: Mapping[str, object]
) -> Resolved[ComposeConfig]:
    """Option, then the option that the motion was learnt with, then the base's recommendation, then whatever else the
    motion was learnt with, then the paper. The strengths of appearance guidance are always set.

    A video that starts from the motion's clips has their size. Raises `InputError` for another one that is asked for.
    """
    own: dict[str, object] = {}
    if motion is not None:
        learnt = {name: motion.hyperparameters[name] for name in _FROM_MOTION if name in motion.hyperparameters}
        asked = {name for name in learnt if motion.origins.get(name) == "option"}
        own = {name: value for name, value in learnt.items() if name in asked or name not in recommended}
        own |= size_of_clips(motion.method, motion.hyperparameters, options)
    settings = resolve(ComposeConfig(), {**recommended, **own}, options)
    from_adapter = {name: "adapter" for name in own if settings.origins[name] == "base"}
    return Resolved(settings.config.completed(), {**settings.origins, **from_adapter})


def size_of_clips(method: str, learnt: Mapping[str, Any], options: Mapping[str, object]) -> dict[str, tuple[int, int]]:
    """The `size` of videos with a motion that was learnt so, where they start from its clips; else nothing.

    Raises `InputError` where the `options` of composing ask for another, or for a share of a clip.
    """
    way = methods_of("motion").get(method)
    if way is None or not way.recipe(way.settings()).starts_from_clips or options.get("motion_strength") == 0:
        return {}
    if options.get("motion_init"):
        raise InputError("the motion starts from its clips anyway: leave `motion_init` out")
    width, height = learnt["size"]
    asked = options.get("size")
    if asked is not None and asked not in ((width, height), [width, height]):
        raise InputError(
            f"the motion starts from its clips, which it was learnt with at {width}x{height}: leave `size` out, or "
            "learn it again at the size that you want"
        )
    return {"size": (width, height)}


def read_with(kinds: Sequence[str]) -> set[str]:
    """The names of the settings that something reads when adapters of these kinds are used."""
    return {f.name for f in fields(ComposeConfig) if f.metadata.get("needs", "") in ("", *kinds)}


def check_settings_are_read(given: Mapping[str, object], kinds: Collection[str]) -> None:
    """Raise `InputError` for a setting that was given and that nothing reads without an adapter."""
    needs = {f.name: f.metadata.get("needs", "") for f in fields(ComposeConfig)}
    for name, value in given.items():
        kind = needs.get(name, "")
        if kind and value is not None and kind not in kinds:
            raise InputError(f"`{name}` is read with a {kind} only: name one with `{kind}`, or leave it out")


@dataclass(frozen=True)
class Composed:
    """A file of a plan, computed and not yet made: `write` makes it, wherever it is to be."""

    target: Target
    record: dict[str, Any]
    write: Write


def make_files(
    plan: ComposePlan, base: Base, registry: Registry, on_step: OnTargetStep, on_event: OnEvent = ignore
) -> Iterator[ComposedFile]:
    """Make a plan's files one after another; each is whole when it is given. The base is left as it was.

    A file that appeared meanwhile is never replaced unasked: the new one takes the next free name.
    """
    for file in compose_files(plan, base, on_step):
        yield publish_file(file, registry, on_event)


def publish_file(file: Composed, registry: Registry, on_event: OnEvent) -> ComposedFile:
    """Make a file where the plan wants it, and note a video in the history."""
    path = published(file.target, file.write, on_event)
    if file.target.seed is not None:
        remember(path, file.record, registry, on_event)
    return ComposedFile(path, file.target.seed, file.record)


def compose_files(plan: ComposePlan, base: Base, on_step: OnTargetStep) -> Iterator[Composed]:
    """Compute a plan's files one after another. The base is left as it was."""
    from engine.media.video import write_video

    rows: list[tuple[str, Any]] = []
    first: dict[str, Any] = {}
    for target in plan.targets:
        frames, record = _composed(plan, base, target, on_step)
        first = first or record
        if plan.sheet is not None:
            rows.append((f"{plan.request.prompt} (seed {target.seed})", frames))
        yield Composed(target, record, partial(write_video, frames, fps=plan.settings.config.fps, metadata=record))
    if plan.sheet is not None:
        yield Composed(plan.sheet, first, partial(_write_sheet, rows=rows, record=first))


def _composed(plan: ComposePlan, base: Base, target: Target, on_step: OnTargetStep) -> tuple[Any, dict[str, Any]]:
    from engine.composing import compose

    assert target.seed is not None
    began = time.perf_counter()

    def report(step: int, steps: int) -> None:
        nonlocal began
        now = time.perf_counter()
        on_step(target, step, steps, now - began)
        began = now

    composition = compose(
        base,
        plan.prompt,
        config=plan.settings.config,
        seed=target.seed,
        adapters=[
            AppliedAdapter(folder, each.kind, clips=plan.clips if each.kind == "motion" else ())
            for each, folder in zip(plan.adapters, plan.folders, strict=True)
        ],
        appearance=plan.request.appearance,
        allow_other_base=plan.request.allow_other_base,
        on_step=report,
    )
    recorded = zip(composition.record["adapters"], plan.adapters, strict=True)
    adapters = [{**one, "name": each.id, "sha256": each.file_hash} for one, each in recorded]
    return composition.frames, {**composition.record, "adapters": adapters}


def _base(request: ComposeRequest, adapters: list[Adapter], registry: Registry, on_event: OnEvent) -> BaseLocation:
    if request.base is None and not request.allow_other_base:
        return base_for(registry, adapters, on_event)
    base = base_for(registry, adapters[:1], on_event) if request.base is None else named_base(registry, request.base)
    if not request.allow_other_base:
        check_fit(registry, adapters, base, fingerprint_of(base))
    return base


def _sheet(request: ComposeRequest, videos: Sequence[Target]) -> Target | None:
    path = request.contact_sheet
    if path is None:
        return None
    if path.suffix.lower() != ".png":
        raise InputError(f"a contact sheet is a PNG: {path} must end in .png")
    check_writable(path, force=request.force)
    if any(path.absolute() == target.path.absolute() for target in videos):
        raise InputError(f"`contact_sheet` and `output` are both {path}: name two files")
    return Target(path, None, replace=request.force)


def _check_device(request: ComposeRequest) -> None:
    """Raise `InputError` for a device that isn't here, as the processor always is, or has nothing to offload."""
    if request.device not in (None, "cpu") or request.offload:
        from engine.bases.load import choose_compute

        choose_compute(request.device, request.dtype or "fp32", offload=request.offload)


def _check_appearance(request: ComposeRequest, info: BaseInfo) -> None:
    """The picture of appearance guidance: there, readable, and of use."""
    if request.appearance is None:
        return
    from engine.data.images import read_image

    if request.motion is None:
        raise InputError("`appearance` guides a motion's appearance: give one with `motion`")
    if info.image_encoder is None:
        raise InputError(f"the base {info.location.name} has no image encoder to look at `appearance` with")
    read_image(request.appearance)


def _write_sheet(path: Path, *, rows: list[tuple[str, Any]], record: dict[str, Any], replace: bool) -> None:
    from engine.media.sheets import contact_sheet, write_sheet

    sheet = contact_sheet([(label, list(frames)) for label, frames in rows], columns=_SHEET_FRAMES)
    write_sheet(sheet, path, record, replace=replace)

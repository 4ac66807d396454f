"""What a run is going to do, worked out before a model is loaded: sources, settings, and what it will take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.adapters.choosing import FullWeights
from engine.bases.composable import check_window
from engine.bases.families import family_named
from engine.bases.family import Layout
from engine.bases.location import BaseInfo
from engine.data.buckets import bucket_of
from engine.data.captions import caption_beside, caption_path
from engine.data.clips import ClipInfo, probe_clip
from engine.data.files import Found, duplicates, sha256_of
from engine.data.finding import find_clips, find_images, find_masks
from engine.data.images import ImageInfo, probe_image
from engine.data.masks import trained_share
from engine.data.windows import FrameSampling
from engine.errors import InputError
from engine.methods.common import (
    CLASS,
    Method,
    MotionSettings,
    OptimizerConfig,
    SubjectSettings,
    TrainingConfig,
    check_read,
)
from engine.methods.dreamvideo import ComposeConfig
from engine.methods.table import (
    DEFAULT,
    check_options,
    method_named,
    recommended_composing_with,
    recommended_for,
)
from engine.prompt_limits import limit_of_base
from engine.prompts import PLACEHOLDER, place_subject, with_subject_word
from engine.settings import Resolved, check_number, resolve

_PREVIEW_FRAMES, _PREVIEW_STEPS = 16, 25
_MANY_FRAMES = 1000  # Of a clip: 40 seconds at 25 frames a second.


@dataclass(frozen=True)
class PlannedSource:
    """One image, mask or clip: what it is, what of it is used, and what is dropped and why.

    `prompt` is a clip's, or that of a photograph with a caption of its own: there `*` is the subject. `trained` is the
    width and height that it is fitted to.
    """

    path: Path
    role: Literal["image", "mask", "clip"]
    sha256: str
    bytes: int
    width: int
    height: int
    frames: int
    fps: float | None
    used: str
    dropped: str
    trained: tuple[int, int]
    prompt: str | None = None
    clip: ClipInfo | None = None


@dataclass(frozen=True)
class SubjectPlan:
    """A run of subject learning. `notes` are things that a person should know before it starts."""

    class_word: str
    method: Method
    settings: Resolved[SubjectSettings]
    sources: tuple[PlannedSource, ...]
    notes: tuple[str, ...]

    def of_role(self, role: str) -> list[PlannedSource]:
        """The sources of one role, in order."""
        return [s for s in self.sources if s.role == role]


@dataclass(frozen=True)
class MotionPlan:
    """A run of motion learning. Times are in seconds of the clips."""

    prompt: str
    method: Method
    settings: Resolved[MotionSettings]
    sources: tuple[PlannedSource, ...]
    notes: tuple[str, ...]
    start: float = 0.0
    end: float | None = None
    source_fps: float | None = None

    @property
    def clips(self) -> list[tuple[ClipInfo, str]]:
        """The clips, each with its prompt."""
        return [(source.clip, source.prompt or self.prompt) for source in self.sources if source.clip is not None]


def plan_subject(
    images: Sequence[Path],
    class_word: str,
    *,
    info: BaseInfo,
    masks: Path | None = None,
    options: Mapping[str, object],
    method: str = DEFAULT,
) -> SubjectPlan:
    """Look at every image (and mask) and resolve the settings. Raises `InputError` for what can't be used."""
    way = method_named("subject", method)
    if not class_word.strip():
        raise InputError("`class_word` is empty: give the word for what the subject is, e.g. `class_word` dog")
    if PLACEHOLDER in class_word:
        raise InputError(
            f'`class_word` is "{class_word}": * stands for the subject itself; give a word, e.g. `class_word` dog'
        )
    found = find_images(images, masks)
    settings: Resolved[SubjectSettings] = _resolved(way, len(found.used), info, options)
    config = settings.config
    check_window(info, config.size, 1)
    paired = find_masks(found.used, masks) if config.use_masks else Found(())
    sources, notes = [], []
    for number, path in enumerate(found.used):
        image = probe_image(path)
        prompt, unusable = _subject_caption(path, class_word.strip())
        sources.append(_image_source(image, config, info.layout, prompt))
        if paired.used:
            sources.append(_mask_source(paired.used[number], image, sources[-1].trained))
        notes += [f"{path.name}: {image.note}"] if image.note else []
        notes += [unusable] if unusable else []
    if masks is not None and not config.use_masks:
        notes.append(f"the masks in {masks} aren't used: `use_masks` is off")
    if info.image_encoder is None:
        notes.append("the base has no image encoder: nothing is stored for appearance guidance")
    if len(found.used) > 5:
        notes.append(f"{len(found.used)} images; the paper uses 3 to 5")
    notes += duplicates([(s.path, s.sha256) for s in sources if s.role == "image"])
    masking = {folder for mask in paired.used for folder in (mask.resolve(), mask.resolve().parent)}
    notes += [str(e) for e in (*found.unused, *paired.unused) if e.path.resolve() not in masking]
    sources = _held_out(sources, "image", config.hold_out)
    plan = SubjectPlan(class_word.strip(), way, settings, tuple(sources), tuple(notes))
    preview_prompt(plan)
    return replace(plan, notes=(*notes, *unread_words(plan, info)))


def _subject_caption(path: Path, class_word: str) -> tuple[str | None, str]:
    """The caption beside a photograph with `*` for the subject, or None; and why one that is there isn't used.

    In "a photo of a dog on grass" the class word dog is the subject: what else is in the picture is told by the
    other words, so that the token doesn't learn it.
    """
    caption = caption_beside(path)
    if caption is None or PLACEHOLDER in caption:
        return caption, ""
    placed = re.sub(rf"(?<!\w){re.escape(class_word)}(?!\w)", PLACEHOLDER, caption, count=1, flags=re.IGNORECASE)
    if PLACEHOLDER in placed:
        return placed, ""
    name = caption_path(path).name
    return None, f'{name} says neither "{class_word}" nor {PLACEHOLDER}, so {path.name} is learnt without a caption'


def _image_source(image: ImageInfo, config: SubjectSettings, layout: Layout, prompt: str | None) -> PlannedSource:
    size = config.size
    if config.aspect_ratios:
        size = bucket_of((image.width, image.height), size, layout.size_multiple)
    used, dropped = _fitted(image.width, image.height, size)
    used += f", at {size[0]}x{size[1]}" if config.aspect_ratios else ""
    return PlannedSource(
        image.path, "image", image.sha256, image.bytes, image.width, image.height, 1, None, used, dropped, size, prompt
    )


def _mask_source(path: Path, image: ImageInfo, size: tuple[int, int]) -> PlannedSource:
    share, kept = trained_share(path, (image.width, image.height), size)
    used = f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"
    dropped = "nothing" if kept > 0.995 else f"{1 - kept:.0%} of it at the edges (centre crop)"
    return PlannedSource(
        path,
        "mask",
        sha256_of(path),
        path.stat().st_size,
        image.width,
        image.height,
        1,
        None,
        f"the loss counts {used} of {image.path.name}",
        dropped,
        size,
    )


def plan_motion(
    clips: Sequence[Path],
    prompt: str | None,
    *,
    info: BaseInfo,
    start: float = 0.0,
    end: float | None = None,
    source_fps: float | None = None,
    options: Mapping[str, object],
    method: str = DEFAULT,
) -> MotionPlan:
    """Look at every clip and resolve the settings. Raises `InputError` for what can't be used.

    A clip's own `.txt` is its prompt; the others take `prompt`.
    """
    way = method_named("motion", method)
    _check_part(start, end, source_fps)
    if prompt is not None and not prompt.strip():
        raise InputError('`prompt` is empty: say what moves, as in `prompt` "a person is playing guitar"')
    found = find_clips(clips)
    settings: Resolved[MotionSettings] = _resolved(way, len(found.used), info, options)
    config = settings.config
    if way.recipe(config).guidance is not None and info.image_encoder is None:
        raise InputError(
            f"the base {info.location.name} has no image encoder, which appearance guidance needs: add the base "
            "with `image_encoder`, or learn with `appearance_guidance=False`"
        )
    check_window(info, config.size, config.frames)
    sampling = sampling_of(config, info.layout)
    sources, notes = [], []
    for path in found.used:
        clip = probe_clip(path, source_fps=source_fps, start=start, end=end)
        own = caption_beside(path)
        if own is None and prompt is None:
            raise InputError(
                f'{path.name} has no prompt: give `prompt` "a person is playing guitar", or write it into '
                f"{path.stem}.txt beside the clip"
            )
        sources.append(_clip_source(clip, sampling, config.size, own or prompt))
        if clip.note:
            notes.append(f"{path.name}: {clip.note}")
        if clip.distinct_frames > _MANY_FRAMES:
            notes.append(
                f"{path.name} has {clip.distinct_frames:,} frames ({clip.duration:.0f} s), all to be encoded before "
                "the first step: choose the part that shows the motion with `start` and `end`"
            )
        length = sampling.length(clip.frames, clip.fps)
        if length == 1 < min(config.frames, clip.frames):
            raise InputError(
                f"{path.name} is over ({clip.duration:.2g} s) before its second frame at {config.fps:g} fps, so there "
                "is no motion in it: give a longer clip, or a higher `fps`"
            )
        if length < config.frames:
            notes.append(f"{path.name} has {length} of the {config.frames} frames asked for and trains on those")
    notes += duplicates([(s.path, s.sha256) for s in sources])
    notes += [str(entry) for entry in found.unused]
    shared = prompt or next(s.prompt for s in sources if s.prompt)
    sources = _held_out(sources, "clip", config.hold_out)
    plan = MotionPlan(shared, way, settings, tuple(sources), tuple(notes), start, end, source_fps)
    preview_prompt(plan)
    return replace(plan, notes=(*notes, *unread_words(plan, info)))


def _held_out(sources: list[PlannedSource], role: str, count: int) -> list[PlannedSource]:
    """The sources, of which the last `count` of a role are told to be held out. Raises `InputError` where that leaves
    nothing to learn from."""
    there = [number for number, source in enumerate(sources) if source.role == role]
    if count >= len(there):
        raise InputError(f"`hold_out` is {count}, and there are {len(there)} {role}s: one must be left to learn from")
    held = set(there[len(there) - count :])
    told = "measured, not learnt from"
    return [replace(source, used=told) if number in held else source for number, source in enumerate(sources)]


def sampling_of(config: MotionSettings, layout: Layout) -> FrameSampling:
    """Which frames of a clip a step sees, on a base of this layout."""
    return FrameSampling(config.frames, config.fps, layout.frame_step, config.control)


def preview_prompt(plan: SubjectPlan | MotionPlan) -> str:
    """What previews show, `*` being the subject. Raises `InputError` where the prompt has no place for it."""
    prompt, every = plan.settings.config.preview_prompt, plan.settings.config.preview_every
    if prompt and not every:
        raise InputError(
            "`preview_prompt` is read with `preview_every` only, which is off here: leave one of the two out"
        )
    if isinstance(plan, MotionPlan):
        return place_subject(prompt or plan.clips[0][1], subject=None, class_word=None)
    return place_subject(prompt or f"a {PLACEHOLDER}", subject="the subject", class_word=plan.class_word)


def recommended_composing(info: BaseInfo, subject_method: str | None = None) -> ComposeConfig:
    """How a base recommends to compose, with a subject that a method learnt where it names one: its tables, and the
    paper's defaults for what they leave out."""
    return resolve(ComposeConfig(), recommended_composing_with(subject_method, info.recommended), {}).config


def preview_config(plan: SubjectPlan | MotionPlan, info: BaseInfo) -> ComposeConfig:
    """How previews are made: as the base recommends, at the size of the training frames, and short."""
    own = recommended_composing(info, plan.method.name if isinstance(plan, SubjectPlan) else None)
    frames = info.layout.trimmed(min(own.frames, _PREVIEW_FRAMES))
    steps = min(own.steps, _PREVIEW_STEPS)
    return replace(own, frames=frames, steps=steps, size=plan.settings.config.size, cache=0.0)


def image_prompts(plan: SubjectPlan, prompt: str, word: str) -> list[str]:
    """The prompt of each image: its caption, in which the method's `word` calls the subject, else `prompt`."""
    word, prompt = (text.replace(CLASS, plan.class_word) for text in (word, prompt))
    return [with_subject_word(s.prompt, word) if s.prompt is not None else prompt for s in plan.of_role("image")]


def unread_words(plan: SubjectPlan | MotionPlan, info: BaseInfo) -> tuple[str, ...]:
    """A sentence for each text of which the base's text encoder never reads all, of those that are learnt by.

    Raises `InputError` where what stands for the subject would be cut off.
    """
    limit = limit_of_base(info)
    if isinstance(plan, MotionPlan):
        return limit.notes(prompt for _, prompt in plan.clips)
    recipe = plan.method.recipe(plan.settings.config)
    texts = [text for part in recipe.parts for text in image_prompts(plan, part.prompt, recipe.word)]
    mark = recipe.word.replace(CLASS, plan.class_word)
    return limit.notes(texts, vectors=recipe.vectors, mark=mark)


def _clip_source(clip: ClipInfo, sampling: FrameSampling, size: tuple[int, int], prompt: str | None) -> PlannedSource:
    used, dropped = sampling.describe(clip)
    _, cropped = _fitted(clip.width, clip.height, size)
    lost = "; ".join(x for x in (dropped, cropped) if x != "nothing") or "nothing"
    about = (clip.sha256, clip.bytes, clip.width, clip.height, clip.frames, clip.fps)
    return PlannedSource(clip.path, "clip", *about, used, lost, size, prompt, clip)


def _resolved(method: Method, sources: int, info: BaseInfo, options: Mapping[str, object]) -> Resolved[Any]:
    """The method's settings: options over what the base recommends over the method's for so many sources.

    What makes the method an ablation has the origin "method".
    """
    given = {name: value for name, value in options.items() if value is not None}
    check_options(method, given)
    recommended = recommended_for(method, info.recommended)
    if "hidden_ratio" in given:  # A recommended width, which beats a ratio, would beat the one asked for.
        recommended.pop("hidden_width", None)
    resolved = resolve(method.settings(sources), recommended, given)
    check_read(resolved.config, given)
    _check_places(method, resolved.config, info)
    own = {name: "method" for name in method.changed if resolved.origins[name] not in ("base", "option")}
    return replace(resolved, origins={**resolved.origins, **own})


def check_offload(plan: SubjectPlan | MotionPlan) -> None:
    """Raise `InputError` for what can't be learnt with the denoiser's blocks offloaded."""
    if isinstance(plan.method.recipe(plan.settings.config).weights, FullWeights):
        raise InputError(
            f"`offload` is for frozen weights, and the method {plan.method.name} trains the base's own: leave it out, "
            "or choose another method"
        )
    if not plan.settings.config.gradient_checkpointing:
        raise InputError(
            "`offload` needs `gradient_checkpointing`: without it, the backward pass holds the weights of all blocks"
        )


def _check_places(method: Method, config: OptimizerConfig, info: BaseInfo) -> None:
    """Refuse a method that is for other families or finds nothing to train in this one, and a dropout that it can't
    have."""
    weights, family = method.recipe(config).weights, family_named(info.family)
    if method.families and family.name not in method.families:
        raise InputError(
            f"the method {method.name} is for bases of the family {' or '.join(method.families)}, and the base "
            f"{info.location.name} is of the family {family.name}; choose another method or base"
        )
    lacking = weights.where.lacks(family) if weights is not None else None
    if lacking is not None:
        raise InputError(
            f"the method {method.name} can't learn a {method.kind} on the base {info.location.name}: bases of the "
            f"family {family.name} have no {lacking}; choose another method or base"
        )
    check_dropout(config, info)


def check_dropout(config: TrainingConfig, info: BaseInfo) -> None:
    """Raise `InputError` for a dropout with nothing to drop."""
    family = family_named(info.family)
    if config.dropout > 0 and not family.has_dropout:
        raise InputError(
            f"`dropout` is {config.dropout:g}, and the base {info.location.name} has none, as all of the family "
            f"{family.name}: leave it at 0"
        )


def _check_part(start: float, end: float | None, source_fps: float | None) -> None:
    """Refuse times that aren't finite; whether they lie in a clip is seen where it is read."""
    check_number("`start`", start, least=0)
    for name, value, least in (("`end`", end, 0), ("`source_fps`", source_fps, 0.001)):
        if value is not None:
            check_number(name, value, least=least)


def _fitted(width: int, height: int, size: tuple[int, int]) -> tuple[str, str]:
    """What resizing and cropping to `size` uses and drops."""
    scale = max(size[0] / width, size[1] / height)
    kept = min(1.0, size[0] * size[1] / (width * height * scale**2))
    dropped = "nothing" if kept > 0.995 else f"{1 - kept:.0%} at the edges (centre crop)"
    used = "all" if kept > 0.995 else "the centre"
    return (f"{used}, enlarged {scale:.1f}x" if scale > 1 else used), dropped

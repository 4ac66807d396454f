"""What tuning a base is going to do: every clip is opened, every setting resolved, before a model is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from engine.bases.composable import check_window
from engine.bases.families import family_named
from engine.bases.location import BaseInfo
from engine.bases.writing import check_storable
from engine.data.captioned import CaptionedFile, find_captioned
from engine.data.clips import ClipInfo, probe_clip
from engine.data.files import duplicates
from engine.data.windows import FrameSampling
from engine.errors import InputError
from engine.estimating import counted_base
from engine.identity import hashed
from engine.planning import check_dropout
from engine.prompt_limits import limit_of_base
from engine.prompts import check_text
from engine.settings import Resolved, resolve
from engine.tuning.settings import FROM_MOTIONS, WHERE, TuningConfig

OnClip = Callable[[int, int], None]
"""Told how many clips were opened, and of how many."""
_SHOWN = 3


@dataclass(frozen=True)
class TuningPlan:
    """A run of tuning: `clips` and their `captions`, in the order of the data set. `trained` are the parameters, by
    name; `notes` are things that a person should know before it starts."""

    data: Path
    settings: Resolved[TuningConfig]
    clips: tuple[ClipInfo, ...]
    captions: tuple[str, ...]
    trained: tuple[str, ...]
    sampling: FrameSampling
    notes: tuple[str, ...]

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over the contents and captions of all clips, in order."""
        return hashed([[clip.sha256, caption] for clip, caption in zip(self.clips, self.captions, strict=True)])

    @cached_property
    def lengths(self) -> list[int]:
        """Frames of each clip's windows."""
        return [self.sampling.length(clip.frames, clip.fps) for clip in self.clips]

    def starts(self, clip: int) -> list[int]:
        """Where the windows of a clip begin: up to 16, evenly spread, so that they can be kept."""
        return self.sampling.starts_ahead(self.clips[clip].frames, self.clips[clip].fps)


def plan_tuning(
    data: Path, *, info: BaseInfo, options: Mapping[str, object], on_clip: OnClip | None = None
) -> TuningPlan:
    """Open every clip and resolve the settings. Raises `InputError` for what can't be used."""
    recommended = {name: v for name, v in info.recommended.get("motion", {}).items() if name in FROM_MOTIONS}
    settings = resolve(TuningConfig(), {**recommended, **info.recommended.get("tuning", {})}, options)
    config = settings.config
    trained = _trained(info, config)
    check_window(info, config.size, config.frames)
    check_dropout(config, info)
    found = find_captioned(data)
    for entry in found:
        check_text(entry.caption, f"the caption of {entry.path.name}")
    clips = _opened(found, on_clip)
    sampling = FrameSampling(config.frames, config.fps, info.layout.frame_step)
    captions = tuple(entry.caption for entry in found)
    notes = [*_short_clips(clips, sampling), *_first(duplicates([(clip.path, clip.sha256) for clip in clips]))]
    notes += _first([f"{clip.path.name}: {clip.note}" for clip in clips if clip.note])
    notes += _first(limit_of_base(info).notes(captions))
    return TuningPlan(data.absolute(), settings, clips, captions, trained, sampling, tuple(notes))


def _trained(info: BaseInfo, config: TuningConfig) -> tuple[str, ...]:
    family, where = family_named(info.family), WHERE[config.parameters]
    lacking = where.lacks(family)
    if lacking is not None:
        raise InputError(
            f"`parameters` is {config.parameters}, and bases of the family {family.name} have no {lacking}: choose "
            "others, or another base"
        )
    names = where.names(family.labels(counted_base(info.location)[1]))
    check_storable(info, names, f"`parameters` {config.parameters}")
    return tuple(names)


def _opened(found: Sequence[CaptionedFile], on_clip: OnClip | None) -> tuple[ClipInfo, ...]:
    """All clips as they will be read. Raises `InputError` that names those that can't be."""

    def opened(entry: CaptionedFile) -> ClipInfo | InputError:
        try:
            return probe_clip(entry.path)
        except InputError as error:
            return error

    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    results: list[ClipInfo | InputError] = []
    try:
        for result in pool.map(opened, found):
            results.append(result)
            if on_clip is not None:
                on_clip(len(results), len(found))
    finally:
        pool.shutdown(cancel_futures=True)
    unreadable = [str(result) for result in results if isinstance(result, InputError)]
    if unreadable:
        told = "\n".join(_first(unreadable))
        raise InputError(
            f"{len(unreadable)} of {len(found)} clips can't be used: repair them, or take them out.\n{told}"
        )
    return tuple(result for result in results if isinstance(result, ClipInfo))


def _short_clips(clips: Sequence[ClipInfo], sampling: FrameSampling) -> list[str]:
    """Notes on windows shorter than was asked for. Raises `InputError` for clips without any motion."""
    lengths = [sampling.length(clip.frames, clip.fps) for clip in clips]
    still = [str(clip.path) for clip, length in zip(clips, lengths, strict=True) if length < 2]
    if still:
        raise InputError(
            f"{len(still)} of {len(clips)} clips have one frame only at {sampling.fps:g} fps, so there is no motion in "
            f"them: {', '.join(_first(still))}; take them out, or choose a higher `fps`"
        )
    shorter = Counter(length for length in lengths if length < sampling.frames)
    return [
        f"{count} of {len(clips)} clips have {length} of the {sampling.frames} frames asked for and train on those"
        for length, count in sorted(shorter.items())
    ]


def _first(told: Sequence[str]) -> list[str]:
    """The first few of many like sentences."""
    left = len(told) - _SHOWN
    return [*told[:_SHOWN], *([f"and {left} more like these"] if left > 0 else [])]

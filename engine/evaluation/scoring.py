"""Scoring a video: every metric of one table, each a curve over the video whose mean is the figure.

A new metric is one function from `Evidence` to its curve and one row of `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from engine.data.clips import ClipInfo, FrameSampling, probe_clip, read_clip
from engine.data.images import Pixels, read_image, sha256_of
from engine.errors import InputError
from engine.evaluation.caching import FeatureCache
from engine.evaluation.features import ImageJudge, PairOfJudges
from engine.evaluation.flow import Flow, flow_of
from engine.evaluation.metrics import likeness_of_neighbours, likeness_to_images, likeness_to_text
from engine.evaluation.motion import motion_amount_curve, motion_fidelity_curve, motion_signature
from engine.evaluation.wanted import ReferenceClip, Wanted

_MOST_WINDOWS = 4
"""Windows of a longer reference clip that a video is compared with, evenly spread."""


@dataclass(frozen=True)
class Scores:
    """A video's figures by metric, None where there was nothing to measure, and the curves they are means of."""

    video: ClipInfo
    values: dict[str, float | None]
    curves: dict[str, tuple[float, ...]]


class Evidence:
    """What metrics may look at, each part worked out when the first metric asks for it."""

    def __init__(self, video: ClipInfo, frames: Pixels, wanted: Wanted, scorer: Scorer) -> None:
        self.video, self.frames, self.wanted = video, frames, wanted
        self._scorer = scorer

    @cached_property
    def clip(self) -> Tensor:
        """CLIP's features of the frames, `(F, D)`."""
        return self._of_frames(self._scorer.judges.clip)

    @cached_property
    def dino(self) -> Tensor:
        """DINO's features of the frames, `(F, D)`."""
        return self._of_frames(self._scorer.judges.dino)

    @cached_property
    def text(self) -> Tensor | None:
        """CLIP's features of the text, `(D,)`."""
        return None if self.wanted.text is None else self._scorer.judges.clip.texts([self.wanted.text])[0]

    @cached_property
    def clip_references(self) -> Tensor | None:
        """CLIP's features of the references, `(R, D)`."""
        pictures = self.wanted.references
        return self._scorer.of_pictures(self._scorer.judges.clip, pictures) if pictures else None

    @cached_property
    def dino_references(self) -> Tensor | None:
        """DINO's features of the references, `(R, D)`."""
        pictures = self.wanted.references
        return self._scorer.of_pictures(self._scorer.judges.dino, pictures) if pictures else None

    @cached_property
    def flow(self) -> Flow | None:
        """The video's optical flow; None for a single frame."""
        return flow_of(self.frames) if len(self.frames) > 1 else None

    @cached_property
    def reference_motions(self) -> list[list[Tensor]]:
        """For each reference clip the motion signatures of its windows."""
        return [self._scorer.motions(clip, self.video) for clip in self.wanted.clips]

    def _of_frames(self, judge: ImageJudge) -> Tensor:
        return self._scorer.cache.images(judge, self.video.sha256, lambda: list(self.frames))


Curve = Callable[[Evidence], Tensor | None]


@dataclass(frozen=True)
class Metric:
    """One figure: `curve` gives one value a frame, or a step between frames, or None where nothing is wanted."""

    name: str
    title: str
    curve: Curve


def _text(seen: Evidence) -> Tensor | None:
    return None if seen.text is None else likeness_to_text(seen.clip, seen.text)


def _clip_i(seen: Evidence) -> Tensor | None:
    return None if seen.clip_references is None else likeness_to_images(seen.clip, seen.clip_references)


def _dino_i(seen: Evidence) -> Tensor | None:
    return None if seen.dino_references is None else likeness_to_images(seen.dino, seen.dino_references)


def _consistency(seen: Evidence) -> Tensor | None:
    return likeness_of_neighbours(seen.clip) if len(seen.frames) > 1 else None


def _amount(seen: Evidence) -> Tensor | None:
    return None if seen.flow is None else motion_amount_curve(seen.flow, seen.video.fps)


def _fidelity(seen: Evidence) -> Tensor | None:
    if seen.flow is None or not seen.wanted.clips:
        return None
    return motion_fidelity_curve(motion_signature(seen.flow), seen.reference_motions)


METRICS = (
    Metric("clip_t", "CLIP-T", _text),
    Metric("clip_i", "CLIP-I", _clip_i),
    Metric("dino_i", "DINO-I", _dino_i),
    Metric("temporal_consistency", "T.Cons", _consistency),
    Metric("motion_fidelity", "Motion fidelity", _fidelity),
    Metric("motion_amount", "Motion amount", _amount),
)


@dataclass(frozen=True)
class Scorer:
    """Scores videos with one pair of judges; what it finds out about references serves all of them."""

    judges: PairOfJudges
    metrics: Sequence[Metric] = METRICS
    cache: FeatureCache = field(default_factory=FeatureCache)
    _motions: dict[tuple[object, ...], list[Tensor]] = field(default_factory=dict, repr=False)

    def score(self, video: Path, wanted: Wanted) -> Scores:
        """Measure one video. Raises `InputError` for a video, picture or clip that can't be read."""
        info = probe_clip(video)
        seen = Evidence(info, read_clip(video), wanted, self)
        values: dict[str, float | None] = {}
        curves: dict[str, tuple[float, ...]] = {}
        for metric in self.metrics:
            curve = metric.curve(seen)
            values[metric.name] = None if curve is None else float(curve.mean())
            if curve is not None:
                curves[metric.name] = tuple(curve.tolist())
        return Scores(info, values, curves)

    def of_pictures(self, judge: ImageJudge, paths: Sequence[Path]) -> Tensor:
        """A judge's features of picture files, `(R, D)`."""
        return torch.cat([self.cache.images(judge, sha256_of(path), partial(_picture, path)) for path in paths])

    def motions(self, clip: ReferenceClip, video: ClipInfo) -> list[Tensor]:
        """The motion signatures of a reference clip, sampled as learning samples it, at the video's rate and size."""
        key = (clip, video.frames, video.fps, video.width, video.height)
        if key not in self._motions:
            self._motions[key] = [motion_signature(flow_of(window)) for window in _windows(clip, video)]
        return self._motions[key]


def _picture(path: Path) -> list[Pixels]:
    return [read_image(path)]


def _windows(clip: ReferenceClip, video: ClipInfo) -> list[Pixels]:
    info = probe_clip(clip.path, source_fps=clip.source_fps, start=clip.start, end=clip.end)
    if info.frames < 2:
        raise InputError(f"{clip.path} has a single frame, and so no motion to compare with. Leave it out.")
    sampling = FrameSampling(video.frames, video.fps)
    frames = read_clip(
        clip.path, start=clip.start, end=clip.end, source_fps=clip.source_fps, size=(video.width, video.height)
    )
    last = sampling.windows(len(frames), info.fps) - 1
    count = min(last + 1, _MOST_WINDOWS)
    starts = [round(last * number / max(1, count - 1)) for number in range(count)]
    return [frames[sampling.indices(start, len(frames), info.fps)] for start in starts]

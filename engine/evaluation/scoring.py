"""Scoring a video: every metric of one table, each a curve over the video whose mean is the figure.

A new metric is one function from `Evidence` to its curve and one row of `METRICS`, which names the judges it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from engine.data.clips import ClipInfo, probe_clip, read_clip, stream_clip
from engine.data.files import sha256_of
from engine.data.images import Pixels, read_image
from engine.data.windows import FrameSampling
from engine.errors import InputError
from engine.evaluation.caching import FeatureCache
from engine.evaluation.expected import Expected, ReferenceClip
from engine.evaluation.flow import Flow, flow_of
from engine.evaluation.identification import Identification, identify
from engine.evaluation.judges import Judges
from engine.evaluation.metrics import likeness_of_neighbours, likeness_to_images, likeness_to_text
from engine.evaluation.motion import motion_amount_curve, motion_fidelity_curve, motion_signature
from engine.identity import hashed
from engine.world.individuals import individual_named
from engine.world.pictures import SIZE

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

    def __init__(self, video: ClipInfo, frames: Pixels, expected: Expected, scorer: Scorer) -> None:
        self.video, self.frames, self.expected = video, frames, expected
        self._scorer = scorer
        self._features: dict[tuple[str, str], Tensor] = {}

    def frames_by(self, judge: str) -> Tensor:
        """A judge's features of the frames, `(F, D)`."""
        return self._once("frames", judge, lambda: self._scorer.of_frames(judge, self.video.sha256, self.frames))

    def text_by(self, judge: str) -> Tensor | None:
        """A judge's features of the text, `(D,)`; None where there is none."""
        text = self.expected.text
        return None if text is None else self._once("text", judge, lambda: self._scorer.judges.texts(judge, [text])[0])

    def references_by(self, judge: str) -> Tensor | None:
        """A judge's features of the references, `(R, D)`; None where there are none."""
        pictures = self.expected.references
        if not pictures:
            return None
        return self._once("references", judge, lambda: self._scorer.of_pictures(judge, pictures))

    @cached_property
    def identified(self) -> Identification | None:
        """Who the video shows, by pixels; None where it isn't known who it should be, and unless it is square."""
        name, (height, width) = self.expected.individual, self.frames.shape[1:3]
        if name is None or height != width:
            return None
        pixels = torch.from_numpy(self.frames).permute(0, 3, 1, 2).float() / 255
        if width > SIZE:
            pixels = interpolate(pixels, size=(SIZE, SIZE), mode="area")
        return identify(pixels, individual_named(name))

    @cached_property
    def flow(self) -> Flow | None:
        """The video's optical flow; None for a single frame."""
        return flow_of(self.frames) if len(self.frames) > 1 else None

    @cached_property
    def reference_motions(self) -> list[list[Tensor]]:
        """For each reference clip the motion signatures of its windows."""
        return [self._scorer.motions(clip, self.video) for clip in self.expected.clips]

    def _once(self, what: str, judge: str, work: Callable[[], Tensor]) -> Tensor:
        if (what, judge) not in self._features:
            self._features[what, judge] = work()
        return self._features[what, judge]


Curve = Callable[[Evidence], Tensor | None]


@dataclass(frozen=True)
class Metric:
    """One figure: `curve` gives one value a frame, or a step between frames, or None where there is nothing to measure.

    `judges` are the names of those it needs. `version` goes up when the same video would be given another figure.
    One `of_truth` needs to know who is shown, which is so in the embedded base's world alone.
    """

    name: str
    title: str
    curve: Curve
    judges: tuple[str, ...] = ()
    version: int = 1
    of_truth: bool = False


def _text(seen: Evidence) -> Tensor | None:
    text = seen.text_by("clip")
    return None if text is None else likeness_to_text(seen.frames_by("clip"), text)


def _likeness(judge: str, seen: Evidence) -> Tensor | None:
    references = seen.references_by(judge)
    return None if references is None else likeness_to_images(seen.frames_by(judge), references)


def _consistency(seen: Evidence) -> Tensor | None:
    return likeness_of_neighbours(seen.frames_by("clip")) if len(seen.frames) > 1 else None


def _amount(seen: Evidence) -> Tensor | None:
    return None if seen.flow is None else motion_amount_curve(seen.flow, seen.video.fps)


def _fidelity(seen: Evidence) -> Tensor | None:
    if seen.flow is None or not seen.expected.clips:
        return None
    return motion_fidelity_curve(motion_signature(seen.flow), seen.reference_motions)


def _who(told: str, seen: Evidence) -> Tensor | None:
    """What all frames together tell of who is shown, a property of `Identification`, for each frame."""
    return None if seen.identified is None else torch.full((len(seen.frames),), float(getattr(seen.identified, told)))


def _colour(seen: Evidence) -> Tensor | None:
    return None if seen.identified is None else seen.identified.frame_colours


METRICS: tuple[Metric, ...] = (
    Metric("clip_t", "CLIP-T", _text, ("clip",)),
    Metric("clip_i", "CLIP-I", partial(_likeness, "clip"), ("clip",)),
    Metric("dino_i", "DINO-I", partial(_likeness, "dino"), ("dino",)),
    Metric("temporal_consistency", "T.Cons", _consistency, ("clip",)),
    Metric("motion_fidelity", "Motion fidelity", _fidelity),
    Metric("motion_amount", "Motion amount", _amount),
    Metric("top1", "Top-1", partial(_who, "found"), of_truth=True),
    Metric("sibling_top1", "Sibling top-1", partial(_who, "found_among_siblings"), of_truth=True),
    Metric("rank", "Rank", partial(_who, "rank"), of_truth=True),
    Metric("colour_likeness", "Colour likeness", _colour, of_truth=True),
)


def score_identity(metric: Metric, judges: Mapping[str, str], video: str, expected: object) -> str:
    """A hash of all that decides a score: the metric, its judges by `judge_digest`, the hash of the video, and what it
    is measured against, as plain values that tell contents."""
    return hashed(["score", metric.name, metric.version, [judges[name] for name in metric.judges], video, expected])


@dataclass(frozen=True)
class Scorer:
    """Scores videos with the same judges; what it finds out about references serves all of them."""

    judges: Judges
    metrics: Sequence[Metric] = METRICS
    cache: FeatureCache = field(default_factory=FeatureCache)
    _motions: dict[tuple[object, ...], list[Tensor]] = field(default_factory=dict, repr=False)

    def score(self, video: Path, expected: Expected) -> Scores:
        """Measure one video. Raises `InputError` for a video, picture or clip that can't be read."""
        info = probe_clip(video)
        seen = Evidence(info, read_clip(info), expected, self)
        values: dict[str, float | None] = {}
        curves: dict[str, tuple[float, ...]] = {}
        for metric in self.metrics:
            curve = metric.curve(seen)
            values[metric.name] = None if curve is None else float(curve.mean())
            if curve is not None:
                curves[metric.name] = tuple(curve.tolist())
        return Scores(info, values, curves)

    def of_frames(self, judge: str, sha256: str, frames: Pixels) -> Tensor:
        """A judge's features of the frames of the video of that hash, `(F, D)`."""
        return self.cache.images(self.judges[judge], sha256, lambda: list(frames))

    def of_pictures(self, judge: str, paths: Sequence[Path]) -> Tensor:
        """A judge's features of picture files, `(R, D)`."""
        by = self.judges[judge]
        return torch.cat([self.cache.images(by, sha256_of(path), partial(_picture, path)) for path in paths])

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
    if video.frames > 1 and sampling.length(info.frames, info.fps) < 2:
        raise InputError(
            f"{clip.path} is over before its second frame at {video.fps:g} fps, the rate of {video.path.name}, and so "
            "has no motion to compare with. Leave it out."
        )
    last = sampling.windows(info.frames, info.fps) - 1
    count = min(last + 1, _MOST_WINDOWS)
    starts = [round(last * number / max(1, count - 1)) for number in range(count)]
    windows = [sampling.indices(start, info.frames, info.fps).tolist() for start in starts]
    needed = set(chain.from_iterable(windows))  # A long clip's other frames never fill the memory.
    streamed = enumerate(stream_clip(info, (video.width, video.height)))
    frames = {number: pixels for number, pixels in streamed if number in needed}
    return [np.stack([frames[number] for number in window]) for window in windows]

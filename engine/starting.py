"""Where sampling starts when it is not from noise that is drawn: at a motion's own clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.bases.base import Base
from engine.data.clips import probe_clip, stream_clip
from engine.data.encoding import FRAMES_AT_ONCE, to_window
from engine.data.windows import FrameSampling
from engine.errors import AdapterError, InputError
from engine.evaluation.expected import ReferenceClip
from engine.methods.dreamvideo import ComposeConfig


@dataclass(frozen=True)
class Start:
    """Clips that videos start from, one each: latents `(B, C, f, h, w)`, which are inverted to noise.

    The starting noise is sqrt(`share`) * inverted + sqrt(1 - `share`) * fresh. `told` is what each record says.
    """

    clips: Tensor
    share: float
    told: tuple[dict[str, Any], ...]


def start_of_stored(clips: Sequence[Tensor], numbers: Sequence[int], frames: int) -> Start:
    """Those of a motion's own latents at `numbers`, which a video starts from whole."""
    latents = torch.stack([fitted(clips[number], frames) for number in numbers])
    return Start(latents, 1.0, tuple({"from": "motion", "index": number} for number in numbers))


def start_of_clips(base: Base, clips: Sequence[ReferenceClip], numbers: Sequence[int], config: ComposeConfig) -> Start:
    """Those of a motion's clips at `numbers`, encoded as a video of these settings: its rate, frames and size.

    Raises `InputError` for a clip that can't be read.
    """
    encoded = {number: _encoded(base, clips[number], config) for number in dict.fromkeys(numbers)}
    told = (
        {"from": "motion", "index": number, "share": config.motion_init, "sha256": encoded[number][1]}
        for number in numbers
    )
    return Start(torch.stack([encoded[number][0] for number in numbers]), config.motion_init, tuple(told))


@torch.no_grad()
def _encoded(base: Base, clip: ReferenceClip, config: ComposeConfig) -> tuple[Tensor, str]:
    """The mean latents `(C, f, h, w)` of a clip's first window, and the clip's hash. A clip that is too short goes
    forth and back."""
    info = probe_clip(clip.path, source_fps=clip.source_fps, start=clip.start, end=clip.end)
    wanted = FrameSampling(config.frames, config.fps).indices(0, info.frames, info.fps)
    read = list(islice(stream_clip(info, config.size), int(wanted[-1]) + 1))
    pixels = np.stack([read[number] for number in wanted])[forth_and_back(len(wanted), config.frames).numpy()]
    # A codec that encodes frames one by one takes them in parts, which is less memory.
    at_once = FRAMES_AT_ONCE if base.layout.frame_step == 1 else len(pixels)
    parts = [
        base.codec.encode(to_window(pixels[first : first + at_once])[None])[0][0]
        for first in range(0, len(pixels), at_once)
    ]
    return torch.cat(parts, dim=1), info.sha256


def check_fresh_start(config: ComposeConfig) -> None:
    """Refuse a share of its clips for a motion that starts from them anyway. Raises `InputError`."""
    if config.motion_init:
        raise InputError(
            f"`motion_init` is {config.motion_init:g}, and the motion starts from its clips anyway: leave it out"
        )


def check_clips_fit(clips: Sequence[Tensor], shape: tuple[int, int, int, int], scale: int) -> None:
    """Refuse clips `(C, f, h, w)` of another size than that of the latents `shape` of a composition, of which one is
    `scale` pixels wide. Raises `InputError`, or `AdapterError` for latents of another kind of base."""
    channels, _, height, width = shape
    for clip in clips:
        if clip.shape[0] != channels:
            raise AdapterError(f"the motion's clips have latents of {clip.shape[0]} channels, the base's {channels}")
        own, asked = (f"{w * scale}x{h * scale}" for w, h in ((clip.shape[3], clip.shape[2]), (width, height)))
        if own != asked:
            raise InputError(
                f"the motion starts from its clips, which it was learnt with at {own}, and `size` is {asked}: "
                f"set `size` to {own}, or learn it again at {asked}"
            )


def fitted(clip: Tensor, frames: int) -> Tensor:
    """A clip `(C, f, h, w)` with so many frames: its first ones, or itself forth and back until there are enough."""
    return clip[:, forth_and_back(clip.shape[1], frames)]


def forth_and_back(available: int, frames: int) -> Tensor:
    """Which of the `available` frames each of so many is, `(frames,)`: forth and back until there are enough."""
    period = max(1, 2 * (available - 1))
    places = torch.arange(frames) % period
    return torch.minimum(places, period - places) if available > 1 else places

"""Where sampling starts when it is not from noise that is drawn: at a motion's own clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.errors import AdapterError, InputError


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
    period = max(1, 2 * (clip.shape[1] - 1))
    places = torch.arange(frames) % period
    return clip[:, torch.minimum(places, period - places) if clip.shape[1] > 1 else places]

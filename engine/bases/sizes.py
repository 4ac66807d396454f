"""What shapes of video a base takes."""

from __future__ import annotations

from engine.bases.location import BaseInfo
from engine.errors import InputError


def check_shape(info: BaseInfo, frames: int, size: tuple[int, int]) -> None:
    """Raise `InputError` for a number of frames, or a (width, height) in pixels, that the base can't make."""
    layout = info.layout
    if any(side % layout.size_multiple for side in size):
        raise InputError(
            f"`size` {size[0]}x{size[1]} does not fit the base {info.location.name}: width and height must be "
            f"multiples of {layout.size_multiple}"
        )
    if not layout.fits(frames):
        raise InputError(f"`frames` is {frames}: {layout.frames_told(frames)}")

"""What a base can compose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.bases.families import family_named
from engine.bases.location import BaseInfo
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.methods.dreamvideo import ComposeConfig


def check_composable(info: BaseInfo, config: ComposeConfig) -> None:
    """Raise `InputError` for a number of frames, or a (width, height) in pixels, that the base can't make, and for a
    cache that its family has none of."""
    check_window(info, config.size, config.frames)
    if config.cache > 0 and family_named(info.family).block_cache is None:
        raise InputError(
            f"`cache` is {config.cache:g}, and First Block Cache does not know the denoiser of the base "
            f"{info.location.name}, nor any of the family {family_named(info.family).name}: leave it at 0"
        )


def check_window(info: BaseInfo, size: tuple[int, int], frames: int) -> None:
    """Raise `InputError` for a (width, height) in pixels, or a number of frames, that the base doesn't take."""
    layout = info.layout
    if any(side % layout.size_multiple for side in size):
        raise InputError(
            f"`size` {size[0]}x{size[1]} does not fit the base {info.location.name}: width and height must be "
            f"multiples of {layout.size_multiple}"
        )
    if not layout.fits(frames):
        raise InputError(f"`frames` is {frames}: {layout.frames_told(frames)}")

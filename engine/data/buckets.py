"""Sizes of about one area, for photographs of other aspect ratios than that of the size that is trained."""

from __future__ import annotations

import math

_MOST_UNEVEN = 4
"""How many times one side may be the other: as in SDXL's list of sizes."""


def bucket_of(picture: tuple[int, int], size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The size (width, height) that a `picture` of a width and height is trained at: of those with sides that are
    multiples of `multiple` and no more area than `size`, the one of the nearest aspect ratio (multi-aspect training:
    SDXL, arXiv 2307.01952, section 2.3). So nothing takes more memory than at `size`, which is one of them.
    """
    ratio = math.log(picture[0] / picture[1])

    def order(bucket: tuple[int, int]) -> tuple[float, int]:
        width, height = bucket
        return abs(math.log(width / height) - ratio), -width * height

    return min(_buckets(size, multiple), key=order)


def _buckets(size: tuple[int, int], multiple: int) -> list[tuple[int, int]]:
    """`size`, and for each side that is a multiple the longest other side."""
    area = size[0] * size[1]
    sides = [(side, area // side // multiple * multiple) for side in range(multiple, area // multiple + 1, multiple)]
    even = [(a, b) for a, b in sides if b and max(a, b) <= _MOST_UNEVEN * min(a, b)]
    return [size, *even, *((b, a) for a, b in even)]

"""Sizes for photographs of other aspect ratios: what a base takes, no larger than asked for, and cropped less."""

from __future__ import annotations

import pytest

from engine.data.buckets import bucket_of

PICTURES = [(4000, 3000), (3000, 4000), (1920, 1080), (1080, 1920), (1000, 1000), (24, 20), (7, 5), (5000, 500)]
SIZES = [((256, 256), 32), ((256, 256), 64), ((64, 64), 16), ((832, 480), 16), ((512, 512), 64), ((16, 16), 4)]


def kept(picture: tuple[int, int], size: tuple[int, int]) -> float:
    """The share of a picture that a crop to the aspect ratio of a size leaves."""
    ratio = picture[0] / picture[1] * size[1] / size[0]
    return min(ratio, 1 / ratio)


@pytest.mark.parametrize(("size", "multiple"), SIZES)
@pytest.mark.parametrize("picture", PICTURES)
def test_a_size_is_one_that_the_base_takes_and_crops_less(
    picture: tuple[int, int], size: tuple[int, int], multiple: int
) -> None:
    found = bucket_of(picture, size, multiple)
    assert all(side % multiple == 0 for side in found)
    area = size[0] * size[1]
    assert area / 2 <= found[0] * found[1] <= area
    assert kept(picture, found) >= kept(picture, size)
    assert max(found) <= 4 * min(found)


def test_a_picture_of_the_sizes_own_ratio_has_that_size() -> None:
    for size, multiple in SIZES:
        assert bucket_of((3 * size[0], 3 * size[1]), size, multiple) == size


def test_sides_change_places_with_the_pictures() -> None:
    for width, height in PICTURES:
        assert bucket_of((width, height), (256, 256), 32) == bucket_of((height, width), (256, 256), 32)[::-1]


def test_nothing_is_stretched_beyond_four_to_one() -> None:
    assert bucket_of((5000, 500), (256, 256), 32) == (512, 128)


def test_known_sizes() -> None:
    assert bucket_of((4000, 3000), (256, 256), 32) == (288, 224)
    assert bucket_of((1920, 1080), (256, 256), 32) == (320, 192)
    assert bucket_of((1920, 1080), (256, 256), 8) == (336, 192)

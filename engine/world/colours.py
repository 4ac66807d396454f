"""Colours of individuals: coarse words, each a small continuous region, and distances as the eye sees them."""

from __future__ import annotations

import colorsys

import numpy as np

from engine.world.shapes import Colour

Range = tuple[float, float]

REGIONS: dict[str, tuple[Range, Range, Range]] = {
    "red": ((-8, 6), (0.76, 0.94), (0.72, 0.92)),
    "orange": ((21, 33), (0.78, 0.98), (0.93, 1.0)),
    "yellow": ((46, 56), (0.65, 0.92), (0.95, 1.0)),
    "green": ((92, 145), (0.5, 0.85), (0.55, 0.85)),
    "turquoise": ((168, 186), (0.5, 0.85), (0.7, 0.9)),
    "blue": ((208, 232), (0.58, 0.88), (0.72, 0.98)),
    "purple": ((262, 284), (0.5, 0.78), (0.6, 0.9)),
    "pink": ((318, 344), (0.34, 0.62), (0.94, 1.0)),
    "brown": ((18, 30), (0.52, 0.75), (0.4, 0.58)),
    "gray": ((0, 360), (0.0, 0.06), (0.5, 0.68)),
    "white": ((0, 360), (0.0, 0.04), (0.94, 1.0)),
    "black": ((0, 360), (0.0, 0.25), (0.15, 0.23)),
}
"""Each colour word with its hues (degrees), saturations and values; nothing lies between two words."""

WORDS = tuple(REGIONS)


def draw_colour(word: str, generator: np.random.Generator) -> Colour:
    """A colour that the word names."""
    hue, saturation, value = (generator.uniform(low, high) for low, high in REGIONS[word])
    return colorsys.hsv_to_rgb((hue / 360) % 1, saturation, value)


def word_of(colour: Colour) -> str:
    """The word whose region holds the colour. Raises `ValueError` for one that lies between the words."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    tiny = 1e-6
    for word, (hues, saturations, values) in REGIONS.items():
        whole_turns = (hue * 360 - hues[0] + tiny) % 360 <= hues[1] - hues[0] + 2 * tiny
        if whole_turns and all(
            low - tiny <= v <= high + tiny for (low, high), v in ((saturations, saturation), (values, value))
        ):
            return word
    raise ValueError(f"no colour word for {colour}")


def oklab(colour: Colour) -> np.ndarray:
    """The colour in Oklab (Ottosson 2020), where equal distances look about equally far."""
    rgb = np.asarray(colour)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(_TO_CONES @ linear)
    return np.asarray(_FROM_CONES @ cones)


def distance(one: Colour, other: Colour) -> float:
    """How far two colours look apart: about 0.02 is just seen, black to white is 1."""
    return float(np.linalg.norm(oklab(one) - oklab(other)))


_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_FROM_CONES = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

"""The scenes that individuals stand in, each drawn with continuous variation from a seed."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from engine.world.shapes import Array, Canvas, Colour, Shape, block, darker, disc, ellipse, lighter, polygon

PHRASES: dict[str, str] = {
    "grass": "on grass",
    "beach": "on the beach",
    "snow": "in the snow",
    "night": "at night",
    "desert": "in the desert",
    "street": "on the street",
    "sea": "at sea",
    "room": "in a room",
    "forest": "in the forest",
    "stage": "on a stage",
}
"""Each scene's phrase in a caption."""

CLOUD: Colour = (1.0, 1.0, 1.0)


class _Painting:
    """A scene in the making, painted from back to front over the square from -1 to 1."""

    def __init__(self, size: int, generator: np.random.Generator) -> None:
        self.canvas = Canvas(size)
        self.generator = generator

    def between(self, low: float, high: float) -> float:
        return float(self.generator.uniform(low, high))

    def varied(self, red: int, green: int, blue: int) -> Colour:
        """A colour near the one given (0 to 255): its hue, saturation and value each moved a little."""
        h, s, v = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
        s = min(max(s * self.between(0.85, 1.15), 0), 1)
        return colorsys.hsv_to_rgb((h + self.between(-0.025, 0.025)) % 1, s, min(v * self.between(0.92, 1.06), 1))

    def fill(self, top: Colour, bottom: Colour) -> None:
        """Cover everything with a gradient from top to bottom."""
        down = np.linspace(0, 1, self.canvas.size, dtype=np.float32)[:, None, None]
        first, last = (np.asarray(colour, dtype=np.float32) for colour in (top, bottom))
        self.canvas.pixels[..., :3] = first + (last - first) * down
        self.canvas.pixels[..., 3] = 1

    def paint(self, shape: Shape, colour: Colour, shade: float = 0.0) -> None:
        self.canvas.paint(shape, colour, shade=shade)

    def below(self, line: float, height: float = 0.0, count: float = 1.0) -> Shape:
        """All below a wavy line around `line`, with waves of that height and number."""
        phase = self.between(0, 2 * np.pi)

        def distance(x: Array, y: Array) -> Array:
            return np.asarray(line + height * np.sin(np.pi * count * x + phase) - y, dtype=np.float32)

        return Shape(distance, (-1, line - height, 1, 1))

    def clouds(self, most: int, low: float) -> None:
        for _ in range(int(self.generator.integers(most + 1))):
            x, y, size = self.between(-1, 1), self.between(-0.95, low), self.between(0.1, 0.2)
            shape = ellipse(x, y, 1.5 * size, 0.5 * size) | disc(x - 0.5 * size, y - 0.2 * size, 0.55 * size)
            self.paint(shape | disc(x + 0.4 * size, y - 0.35 * size, 0.7 * size), CLOUD)

    def sun(self, colour: Colour, low: float, radius: float) -> None:
        self.paint(disc(self.between(-0.9, 0.9), self.between(-0.9, low), radius * self.between(0.8, 1.25)), colour)


def _grass(p: _Painting) -> None:
    p.fill(p.varied(120, 190, 250), p.varied(215, 238, 255))
    p.sun((1.0, 0.93, 0.55), -0.65, 0.15)
    p.clouds(3, -0.35)
    horizon = p.between(-0.1, 0.3)
    p.paint(p.below(horizon - p.between(0.05, 0.2), 0.1, 1.2), p.varied(140, 205, 110))
    ground = p.varied(105, 190, 70)
    p.paint(p.below(horizon, 0.05, 1.6), ground, shade=0.25)
    for _ in range(int(p.generator.integers(3, 9))):
        x, y = p.between(-1, 1), p.between(horizon + 0.15, 1)
        p.paint(
            polygon([(x - 0.05, y), (x - 0.06, y - 0.1), (x, y - 0.03), (x + 0.06, y - 0.1), (x + 0.05, y)]),
            darker(ground, 0.25),
        )


def _beach(p: _Painting) -> None:
    p.fill(p.varied(110, 200, 255), p.varied(220, 245, 255))
    p.sun((1.0, 0.95, 0.6), -0.65, 0.15)
    p.clouds(2, -0.5)
    horizon = p.between(-0.35, -0.05)
    p.paint(p.below(horizon), p.varied(30, 150, 200))
    shore = horizon + p.between(0.25, 0.45)
    p.paint(p.below(shore - 0.06, 0.03, 2), (0.92, 0.98, 1.0))
    sand = p.varied(245, 220, 155)
    p.paint(p.below(shore, 0.04, 2), sand, shade=0.1)
    for _ in range(int(p.generator.integers(6))):
        p.paint(ellipse(p.between(-1, 1), p.between(shore + 0.15, 1), 0.05, 0.03), darker(sand, 0.2))


def _snow(p: _Painting) -> None:
    p.fill(p.varied(150, 180, 212), p.varied(210, 224, 238))
    horizon = p.between(-0.05, 0.35)
    peak = p.between(-0.8, 0.4)
    p.paint(
        polygon([(peak - 0.9, horizon + 0.2), (peak, horizon - 0.7), (peak + 0.9, horizon + 0.2)]),
        p.varied(160, 175, 200),
    )
    p.paint(p.below(horizon - 0.08, 0.1, 1.3), p.varied(222, 232, 244))
    p.paint(p.below(horizon + 0.08, 0.06, 0.9), (0.97, 0.985, 1.0))
    for _ in range(int(p.generator.integers(8, 18))):
        p.paint(disc(p.between(-1, 1), p.between(-1, horizon), p.between(0.025, 0.05)), CLOUD)


def _night(p: _Painting) -> None:
    p.fill(p.varied(10, 12, 52), p.varied(48, 44, 110))
    for _ in range(int(p.generator.integers(8, 18))):
        p.paint(disc(p.between(-1, 1), p.between(-1, 0.5), p.between(0.02, 0.04)), (1.0, 0.97, 0.8))
    x, y, radius = p.between(-0.85, 0.85), p.between(-0.85, -0.5), p.between(0.14, 0.2)
    moon = disc(x, y, radius)
    p.paint(
        moon - disc(x + 0.55 * radius, y - 0.2 * radius, radius) if p.between(0, 1) < 0.5 else moon, (0.98, 0.94, 0.75)
    )
    p.paint(p.below(p.between(0.35, 0.65), 0.12, 1), p.varied(24, 26, 60))
    p.paint(p.below(p.between(0.7, 0.85), 0.06, 1.4), p.varied(12, 14, 34))


def _desert(p: _Painting) -> None:
    p.fill(p.varied(255, 185, 110), p.varied(255, 228, 175))
    p.sun((1.0, 0.96, 0.82), -0.45, 0.2)
    horizon = p.between(-0.05, 0.25)
    dune = p.varied(215, 140, 75)
    p.paint(p.below(horizon, 0.14, 1), lighter(dune, 0.2))
    if p.between(0, 1) < 0.6:
        x, green = p.between(-0.9, 0.9), p.varied(70, 140, 80)
        p.paint(block(x, horizon - 0.05, 0.05, 0.3, 0.05), green)
        p.paint(
            block(x + 0.12, horizon - 0.08, 0.1, 0.035, 0.03) | block(x + 0.19, horizon - 0.18, 0.035, 0.12, 0.03),
            green,
        )
    p.paint(p.below(horizon + p.between(0.25, 0.4), 0.1, 0.8), dune, shade=0.1)
    p.paint(p.below(horizon + p.between(0.6, 0.75), 0.08, 0.7), darker(dune, 0.14))


def _street(p: _Painting) -> None:
    p.fill(p.varied(190, 208, 225), p.varied(226, 232, 238))
    kerb = p.between(0.15, 0.35)
    left = p.between(-1.4, -1.0)
    while left < 1:
        wide, top = p.between(0.42, 0.7), p.between(-0.85, -0.35)
        wall = p.varied(
            *[(186, 150, 130), (150, 160, 178), (196, 178, 140), (160, 130, 128)][int(p.generator.integers(4))]
        )
        p.paint(block(left + wide / 2, (top + kerb) / 2, wide / 2, (kerb - top) / 2), wall)
        for row in np.arange(top + 0.16, kerb - 0.12, 0.3):
            for column in (0.28, 0.72):
                p.paint(block(left + column * wide, float(row), 0.065, 0.075), darker(wall, 0.35))
        left += wide
    p.paint(p.below(kerb), p.varied(176, 174, 176))
    p.paint(p.below(kerb + 0.1), p.varied(84, 84, 92))
    dash = p.between(-1.4, -1.0)
    for k in range(5):
        p.paint(block(dash + 0.7 * k, kerb + 0.45, 0.2, 0.035), (0.95, 0.9, 0.6))


def _sea(p: _Painting) -> None:
    p.fill(p.varied(180, 220, 250), p.varied(235, 248, 255))
    p.sun((1.0, 0.95, 0.7), -0.7, 0.14)
    p.clouds(3, -0.6)
    top, water = p.between(-0.5, -0.2), p.varied(70, 165, 215)
    for k in range(4):
        p.paint(p.below(top + 0.38 * k, 0.04, 3), darker(water, 0.17 * k))


def _room(p: _Painting) -> None:
    wall = p.varied(*[(238, 205, 215), (205, 222, 240), (235, 225, 190), (212, 232, 208)][int(p.generator.integers(4))])
    p.fill(wall, darker(wall, 0.08))
    for k in range(-3, 4):
        p.paint(block(0.32 * k + p.between(-0.02, 0.02), 0, 0.035, 1), lighter(wall, 0.3))
    x, y = p.between(-0.7, 0.7), p.between(-0.6, -0.45)
    p.paint(block(x, y, 0.32, 0.34, 0.03), (1.0, 1.0, 1.0))
    p.paint(block(x, y, 0.26, 0.28), p.varied(150, 210, 240))
    p.paint(block(x, y, 0.025, 0.3) | block(x, y, 0.3, 0.025), (1.0, 1.0, 1.0))
    floor, wood = p.between(0.25, 0.5), p.varied(176, 120, 76)
    p.paint(p.below(floor), wood)
    p.paint(block(0, floor, 1.1, 0.035), (0.98, 0.96, 0.94))
    p.paint(ellipse(p.between(-0.4, 0.4), floor + 0.38, 0.75, 0.2), p.varied(120, 140, 190))


def _forest(p: _Painting) -> None:
    p.fill(p.varied(160, 205, 165), p.varied(120, 175, 120))
    floor = p.between(0.25, 0.5)
    for depth, (count, fade) in enumerate(((6, 0.35), (4, 0.0))):
        bark, leaf = p.varied(112, 78, 52), p.varied(46, 110, 60)
        for k in range(count):
            x = -1 + 2 * (k + p.between(0.1, 0.9)) / count
            wide, low = 0.06 + 0.05 * depth, floor + 0.1 * depth
            p.paint(block(x, low - 0.6, wide, 0.75), lighter(bark, fade))
            crown = ellipse(x, -0.75 + p.between(-0.1, 0.15), 0.3 + 0.06 * depth, 0.42)
            p.paint(crown, lighter(leaf, fade))
    p.paint(p.below(floor, 0.04, 1.5), p.varied(82, 124, 56), shade=0.3)


def _stage(p: _Painting) -> None:
    back = p.varied(92, 40, 92)
    p.fill(darker(back, 0.25), back)
    x = p.between(-0.4, 0.4)
    p.paint(polygon([(x - 0.12, -1.05), (x + 0.12, -1.05), (x + 0.75, 0.7), (x - 0.75, 0.7)]), lighter(back, 0.3))
    floor = p.between(0.3, 0.5)
    p.paint(p.below(floor), p.varied(190, 134, 82))
    p.paint(ellipse(x, floor + 0.3, 0.72, 0.18), p.varied(245, 205, 140))
    cloth = p.varied(196, 30, 48)
    for side in (-1, 1):
        for k in range(3):
            p.paint(
                block(side * (1.0 - 0.13 * k), -0.2, 0.075, 0.3 + floor + 0.2 - 0.04 * k), darker(cloth, 0.12 * (k % 2))
            )
    for k in range(-4, 5):
        p.paint(disc(0.25 * k, -0.96, 0.16), darker(cloth, 0.12 * (k % 2)))


_PAINTERS: dict[str, Callable[[_Painting], None]] = {
    "grass": _grass,
    "beach": _beach,
    "snow": _snow,
    "night": _night,
    "desert": _desert,
    "street": _street,
    "sea": _sea,
    "room": _room,
    "forest": _forest,
    "stage": _stage,
}


def paint(scene: str, seed: int, size: int = 64) -> Array:
    """One variation of the scene, `(size, size, 3)` in [0, 1].

    Raises `KeyError` for a name that is not in `PHRASES`.
    """
    generator = np.random.default_rng([seed, list(PHRASES).index(scene)])
    painting = _Painting(size, generator)
    _PAINTERS[scene](painting)
    tint = generator.uniform(-0.025, 0.025, 3).astype(np.float32)
    painted: Array = np.clip(painting.canvas.pixels[..., :3] + tint, 0, 1)
    return painted

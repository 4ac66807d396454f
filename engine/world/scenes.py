"""The scenes that sprites move over, painted with a little variation from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PHRASES: dict[str, str] = {
    "grass": "on grass",
    "beach": "on the beach",
    "snow": "in the snow",
    "night": "at night",
    "desert": "in the desert",
    "street": "on the street",
    "sea": "at sea",
    "room": "in a room",
}
"""Each scene's phrase in a caption."""


def _colour(*rgb: int) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1) / 255


class _Canvas:
    """A square picture, painted from back to front; coordinates in [0, 1]."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.generator = generator
        axis = (torch.arange(size) + 0.5) / size
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")
        self.softness = 0.7 / size
        self.pixels = torch.zeros(3, size, size)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def lay(self, colour: Tensor, distance: Tensor) -> None:
        """Paint `colour` where `distance` (signed, negative inside) is below 0, with a soft edge."""
        alpha = (0.5 - distance / (2 * self.softness)).clamp(0, 1)
        self.pixels = self.pixels * (1 - alpha) + colour * alpha

    def gradient(self, top: Tensor, bottom: Tensor) -> Tensor:
        return top + (bottom - top) * self.y

    def disc(self, colour: Tensor, x: float, y: float, radius: float) -> None:
        self.lay(colour, ((self.x - x) ** 2 + (self.y - y) ** 2).sqrt() - radius)

    def below(self, colour: Tensor, line: Tensor | float) -> None:
        self.lay(colour, line - self.y)

    def box(self, colour: Tensor, left: float, top: float, right: float, bottom: float) -> None:
        horizontal = torch.maximum(left - self.x, self.x - right)
        self.lay(colour, torch.maximum(horizontal, torch.maximum(top - self.y, self.y - bottom)))

    def waves(self, amplitude: float, count: float) -> Tensor:
        return amplitude * torch.sin(2 * torch.pi * (count * self.x + self.between(0, 1)))


def _grass(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(150, 205, 250), _colour(215, 238, 255))
    c.disc(_colour(255, 255, 255), c.between(0.1, 0.9), c.between(0.06, 0.16), 0.08)
    horizon = c.between(0.5, 0.64)
    c.below(c.gradient(_colour(150, 215, 90), _colour(60, 150, 50)), horizon + c.waves(0.03, 1.5))


def _beach(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(120, 200, 255), _colour(220, 245, 255))
    horizon = c.between(0.36, 0.46)
    c.below(_colour(30, 140, 190), horizon)
    c.below(c.gradient(_colour(250, 230, 170), _colour(235, 200, 125)), horizon + 0.2 + c.waves(0.02, 2))


def _snow(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(165, 185, 205), _colour(205, 218, 230))
    horizon = c.between(0.52, 0.66)
    c.below(_colour(246, 250, 255), horizon + c.waves(0.04, 1))
    for _ in range(9):
        c.disc(_colour(255, 255, 255), c.between(0, 1), c.between(0, 0.6), 0.022)


def _night(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(8, 10, 45), _colour(35, 35, 90))
    for _ in range(9):
        c.disc(_colour(255, 250, 210), c.between(0, 1), c.between(0, 0.7), 0.014)
    c.disc(_colour(250, 240, 190), c.between(0.1, 0.9), c.between(0.1, 0.2), 0.075)
    c.below(_colour(12, 14, 30), c.between(0.8, 0.9) + c.waves(0.02, 1))


def _desert(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(255, 190, 120), _colour(255, 225, 170))
    c.disc(_colour(255, 245, 205), c.between(0.15, 0.85), c.between(0.12, 0.25), 0.1)
    horizon = c.between(0.5, 0.62)
    c.below(_colour(215, 140, 75), horizon + c.waves(0.06, 1))
    c.below(_colour(190, 112, 52), horizon + 0.2 + c.waves(0.05, 0.8))


def _street(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(195, 205, 215), _colour(225, 228, 232))
    left = c.between(-0.15, 0.0)
    for shade in (165, 130, 150, 120):
        right = left + c.between(0.24, 0.34)
        c.box(_colour(shade, shade - 14, shade - 22), left, c.between(0.1, 0.35), right, 0.7)
        left = right
    c.below(_colour(78, 78, 84), 0.62)
    dash = c.between(-0.2, 0.1)
    for k in range(4):
        c.box(_colour(240, 225, 120), dash + 0.36 * k, 0.8, dash + 0.36 * k + 0.2, 0.84)


def _sea(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(190, 225, 250), _colour(235, 248, 255))
    top = c.between(0.26, 0.36)
    shades = ((70, 165, 215), (45, 135, 195), (25, 105, 170), (15, 80, 145))
    for k, shade in enumerate(shades):
        c.below(_colour(*shade), top + 0.19 * k + c.waves(0.018, 3))


def _room(c: _Canvas) -> None:
    c.pixels = c.gradient(_colour(235, 215, 225), _colour(215, 190, 205))
    left = c.between(0.06, 0.6)
    c.box(_colour(255, 255, 255), left, 0.08, left + 0.32, 0.38)
    c.box(_colour(150, 205, 235), left + 0.03, 0.11, left + 0.29, 0.35)
    floor = c.between(0.66, 0.74)
    c.below(_colour(165, 105, 65), floor)
    c.box(_colour(250, 245, 240), 0, floor - 0.02, 1, floor + 0.01)


_PAINTERS: dict[str, Callable[[_Canvas], None]] = {
    "grass": _grass,
    "beach": _beach,
    "snow": _snow,
    "night": _night,
    "desert": _desert,
    "street": _street,
    "sea": _sea,
    "room": _room,
}


def paint(scene: str, generator: torch.Generator, *, size: int = 64) -> Tensor:
    """Paint one variation of `scene`, `(3, size, size)` in [0, 1].

    Raises `KeyError` for a name that is not in `PHRASES`.
    """
    canvas = _Canvas(size, generator)
    _PAINTERS[scene](canvas)
    tint = 0.04 * (torch.rand(3, 1, 1, generator=generator) - 0.5)
    return (canvas.pixels + tint).clamp(0, 1)

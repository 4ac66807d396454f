"""Plane shapes by their signed distances, and a canvas that paints them with soft edges at any size.

Coordinates run from -1 (left, top) to 1 (right, bottom) of a square canvas. A shape knows the box around it, so
that painting a small shape on a large canvas is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""
Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Shape:
    """A region of the plane: `distance(x, y)` is negative inside and about the distance to its edge nearby."""

    distance: Callable[[Array, Array], Array]
    box: Box

    def __or__(self, other: Shape) -> Shape:
        """Both together."""
        (l1, t1, r1, b1), (l2, t2, r2, b2) = self.box, other.box
        box = (min(l1, l2), min(t1, t2), max(r1, r2), max(b1, b2))
        return Shape(lambda x, y: np.minimum(self.distance(x, y), other.distance(x, y)), box)

    def __and__(self, other: Shape) -> Shape:
        """What they share."""
        (l1, t1, r1, b1), (l2, t2, r2, b2) = self.box, other.box
        box = (max(l1, l2), max(t1, t2), min(r1, r2), min(b1, b2))
        return Shape(lambda x, y: np.maximum(self.distance(x, y), other.distance(x, y)), box)

    def __sub__(self, other: Shape) -> Shape:
        """This one without the other."""
        return Shape(lambda x, y: np.maximum(self.distance(x, y), -other.distance(x, y)), self.box)

    def grown(self, by: float) -> Shape:
        """The shape with its edge moved outwards."""
        left, top, right, bottom = self.box
        return Shape(lambda x, y: self.distance(x, y) - np.float32(by), (left - by, top - by, right + by, bottom + by))

    def mirrored(self) -> Shape:
        """The shape on the other side of the vertical axis."""
        left, top, right, bottom = self.box
        return Shape(lambda x, y: self.distance(-x, y), (-right, top, -left, bottom))

    def both_sides(self) -> Shape:
        """The shape and its mirror image."""
        return self | self.mirrored()


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Shape:
    """An ellipse around (x, y), turned clockwise by `turn` radians."""
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    wide = float(np.hypot(rx * cos, ry * sin))
    high = float(np.hypot(rx * sin, ry * cos))

    def distance(px: Array, py: Array) -> Array:
        dx, dy = px - np.float32(x), py - np.float32(y)
        u, v = (dx * cos + dy * sin) / rx, (dy * cos - dx * sin) / ry
        # The first order of the distance: f / |grad f| with f = |(u, v)| - 1.
        near = np.sqrt(u * u + v * v) + 1e-6
        slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2) + 1e-6
        return np.asarray(near * (near - 1) / slope, dtype=np.float32)

    return Shape(distance, (x - wide, y - high, x + wide, y + high))


def disc(x: float, y: float, radius: float) -> Shape:
    return ellipse(x, y, radius, radius)


def block(x: float, y: float, half_width: float, half_height: float, round_by: float = 0.0, turn: float = 0.0) -> Shape:
    """A rectangle around (x, y), its corners rounded, turned clockwise by `turn` radians."""
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    wide = abs(half_width * cos) + abs(half_height * sin)
    high = abs(half_width * sin) + abs(half_height * cos)

    def distance(px: Array, py: Array) -> Array:
        dx, dy = px - np.float32(x), py - np.float32(y)
        u = np.abs(dx * cos + dy * sin) - (half_width - round_by)
        v = np.abs(dy * cos - dx * sin) - (half_height - round_by)
        outside = np.hypot(np.maximum(u, 0), np.maximum(v, 0))
        return np.asarray(outside + np.minimum(np.maximum(u, v), 0) - round_by, dtype=np.float32)

    return Shape(distance, (x - wide, y - high, x + wide, y + high))


def polygon(points: Sequence[Point], round_by: float = 0.0) -> Shape:
    """A polygon, grown by `round_by`, which rounds its corners."""
    corners = np.asarray(points, dtype=np.float32)
    left, top = (corners.min(axis=0) - round_by).tolist()
    right, bottom = (corners.max(axis=0) + round_by).tolist()

    def distance(px: Array, py: Array) -> Array:
        nearest: Array = np.full(np.broadcast_shapes(px.shape, py.shape), np.inf, dtype=np.float32)
        inside = np.zeros(nearest.shape, dtype=bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            ex, ey = bx - ax, by - ay
            wx, wy = px - ax, py - ay
            along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, (wx - along * ex) ** 2 + (wy - along * ey) ** 2)
            inside ^= ((ay > py) != (by > py)) & (ey * (wx * ey - wy * ex) < 0)
        apart = np.sqrt(nearest)
        return np.asarray(np.where(inside, -apart, apart) - round_by, dtype=np.float32)

    return Shape(distance, (left, top, right, bottom))


def stroke(points: Sequence[Point], radius: float) -> Shape:
    """A line through the points with round ends and joints, `radius` half its width."""
    corners = np.asarray(points, dtype=np.float32)
    left, top = (corners.min(axis=0) - radius).tolist()
    right, bottom = (corners.max(axis=0) + radius).tolist()

    def distance(px: Array, py: Array) -> Array:
        nearest: Array = np.full(np.broadcast_shapes(px.shape, py.shape), np.inf, dtype=np.float32)
        for (ax, ay), (bx, by) in pairwise(corners):
            ex, ey = bx - ax, by - ay
            wx, wy = px - ax, py - ay
            along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey + 1e-12), 0, 1)
            nearest = np.minimum(nearest, (wx - along * ex) ** 2 + (wy - along * ey) ** 2)
        return np.asarray(np.sqrt(nearest) - radius, dtype=np.float32)

    return Shape(distance, (left, top, right, bottom))


def arc(x: float, y: float, radius: float, start: float, end: float, width: float) -> Shape:
    """A part of a circle's line between two angles (radians, clockwise from the right), `width` half its width."""
    angles = np.linspace(start, end, 9)
    return stroke([(x + radius * float(np.cos(a)), y + radius * float(np.sin(a))) for a in angles], width)


def darker(colour: Colour, by: float = 0.45) -> Colour:
    """A shade of the colour for its outline and shadows."""
    r, g, b = (c * (1 - by) for c in colour)
    return r, g, b


def lighter(colour: Colour, by: float = 0.4) -> Colour:
    r, g, b = (c + (1 - c) * by for c in colour)
    return r, g, b


class Canvas:
    """A transparent square on which shapes are painted one over another, held as premultiplied RGBA.

    Its edges are at -`extent` and `extent`.
    """

    def __init__(self, size: int, extent: float = 1.0) -> None:
        self.size, self.extent = size, extent
        self.pixels: Array = np.zeros((size, size, 4), dtype=np.float32)
        self._axis: Array = (((np.arange(size) + 0.5) * (2 / size) - 1) * extent).astype(np.float32)

    def paint(
        self, shape: Shape, colour: Colour, *, within: Shape | None = None, outline: float = 0.0, shade: float = 0.0
    ) -> None:
        """Paint the shape, cut to `within`, after an outline of that width around it in a darker shade.

        `shade` lightens the colour towards the canvas's top and darkens it towards its bottom.
        """
        if outline:
            self.paint(shape.grown(outline), darker(colour), within=within)
        window = self._window(shape.box)
        if window is None:
            return
        rows, columns = window
        y, x = self._axis[rows, None], self._axis[None, columns]
        alpha = self._coverage(shape.distance(x, y))
        if within is not None:
            alpha = alpha * self._coverage(within.distance(x, y))
        paint: Array = np.empty((*alpha.shape, 4), dtype=np.float32)
        paint[..., :3] = colour
        paint[..., 3] = 1
        if shade:
            paint[..., :3] *= 1 - shade * y[..., None]
            np.clip(paint, 0, 1, out=paint)
        part = self.pixels[rows, columns]
        part += alpha[..., None] * (paint - part)

    def _coverage(self, distance: Array) -> Array:
        """How much of each pixel a shape covers, from the distance at the pixel's middle."""
        covered: Array = np.clip(0.5 - distance * np.float32(self.size / (2 * self.extent)), 0, 1)
        return covered

    def _window(self, box: Box) -> tuple[slice, slice] | None:
        left, top, right, bottom = (int(np.floor((edge / self.extent + 1) * self.size / 2)) for edge in box)
        left, top = max(left - 1, 0), max(top - 1, 0)
        right, bottom = min(right + 2, self.size), min(bottom + 2, self.size)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

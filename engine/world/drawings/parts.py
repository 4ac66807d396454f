"""What drawings of several classes share: eyes, patterns, things that are worn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

from engine.world.individuals import Individual
from engine.world.shapes import Canvas, Colour, Shape, arc, block, darker, disc, ellipse, lighter, polygon, stroke

LINE = 0.055
"""Width of outlines: about a pixel where a drawing is 32 pixels wide."""
SHADE = 0.13
INK: Colour = (0.09, 0.08, 0.12)
WHITE: Colour = (1.0, 1.0, 1.0)
CREAM: Colour = (1.0, 0.95, 0.86)
NOSE: Colour = (0.16, 0.11, 0.13)
TONGUE: Colour = (0.95, 0.42, 0.48)
GOLD: Colour = (1.0, 0.82, 0.25)


def against(colour: Colour) -> Colour:
    """White or ink, whichever stands out from the colour."""
    red, green, blue = colour
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.45 else WHITE


@dataclass(frozen=True)
class Pose:
    """What varies in a drawing of the same individual: where it looks, from -1 (left) to 1, and closed eyes."""

    look: float = 0.0
    blink: bool = False


@dataclass(frozen=True)
class Pen:
    """A canvas with the individual and the pose that are drawn on it."""

    canvas: Canvas
    one: Individual
    pose: Pose

    def body(self, shape: Shape, colour: Colour) -> None:
        """Paint a large part, outlined and shaded."""
        self.canvas.paint(shape, colour, outline=LINE, shade=SHADE)

    def detail(self, shape: Shape, colour: Colour, within: Shape | None = None) -> None:
        self.canvas.paint(shape, colour, within=within)

    def marking(self, shape: Shape, within: Shape) -> None:
        """Paint a part of the pattern, in the second colour."""
        self.canvas.paint(shape, self.one.second, within=within, shade=SHADE)


def eyes(pen: Pen, x: float, y: float, size: float) -> None:
    """A pair of eyes, `x` to either side of where the face is turned."""
    shift = 0.1 * pen.pose.look
    for side in (-1, 1):
        eye(pen, shift + side * x, y, size, outward=side)


def eye(pen: Pen, x: float, y: float, size: float, outward: int = 0) -> None:
    """One eye of the individual's kind."""
    kind, look = pen.one["eyes"], 0.3 * size * pen.pose.look
    if pen.pose.blink:
        pen.detail(arc(x, y - 0.2 * size, size * 0.85, 0.15 * pi, 0.85 * pi, 0.05), INK)
        return
    if kind == "dots":
        # A pale rim keeps them seen on dark bodies.
        pen.detail(ellipse(x + look, y, 0.8 * size + 0.035, 0.95 * size + 0.035), lighter(pen.one.body, 0.6))
        pen.detail(ellipse(x + look, y, 0.8 * size, 0.95 * size), INK)
        pen.detail(disc(x + look - 0.22 * size, y - 0.3 * size, 0.32 * size), WHITE)
        return
    if kind == "large":
        ball = disc(x, y, 1.25 * size)
        pen.canvas.paint(ball, pen.one.third, outline=0.045)
        pen.detail(disc(x + look, y + 0.05, 0.72 * size), INK)
        pen.detail(disc(x + look - 0.25 * size, y - 0.3 * size, 0.34 * size), WHITE)
        return
    if kind == "slit":
        ball = ellipse(x, y, 1.1 * size, 1.05 * size)
        pen.canvas.paint(ball, lighter(pen.one.third, 0.35), outline=0.045)
        pen.detail(ellipse(x + look, y, 0.34 * size, 0.95 * size), INK)
        return
    ball = disc(x, y, 1.1 * size)
    pen.canvas.paint(ball, WHITE, outline=0.045)
    pen.detail(disc(x + look, y + 0.1 * size, 0.58 * size), INK)
    if kind == "sleepy":
        lid = ball & block(x, y - 1.1 * size, 2 * size, 1.05 * size, turn=0.25 * outward)
        pen.detail(lid.grown(0.02), darker(pen.one.body, 0.3))


def pattern(pen: Pen, whole: Shape, x: float, y: float, width: float, height: float) -> None:
    """The individual's pattern over the part `whole`, which is about that wide and high around (x, y)."""
    kind = pen.one["pattern"]
    if kind == "patch":
        pen.marking(ellipse(x + 0.42 * width, y - 0.12 * height, 0.42 * width, 0.52 * height, 0.2), whole)
    elif kind == "spots":
        for u, v, r in (
            (-0.62, -0.5, 0.24),
            (0.05, -0.82, 0.22),
            (0.7, -0.38, 0.26),
            (-0.8, 0.3, 0.2),
            (0.72, 0.42, 0.22),
        ):
            pen.marking(disc(x + u * width, y + v * height, r * width), whole)
    elif kind == "stripes":
        for u in (-0.5, 0.0, 0.5):
            top = y - 1.05 * height
            low = y - (0.28 if u == 0 else 0.42) * height
            wide = 0.15 * width
            pen.marking(
                polygon([(x + u * width - wide, top), (x + u * width + wide, top), (x + u * 0.8 * width, low)]), whole
            )
        for side in (-1, 1):
            for v in (0.1, 0.45):
                edge = x + side * 1.05 * width
                points = [
                    (edge, y + (v - 0.13) * height),
                    (edge, y + (v + 0.13) * height),
                    (x + side * 0.55 * width, y + v * height),
                ]
                pen.marking(polygon(points), whole)
    elif kind == "mask":
        pen.marking(block(x, y - 0.62 * height, 1.3 * width, 0.62 * height), whole)
    elif kind == "blaze":
        points = [(x - 0.16 * width, y - 1.1 * height), (x + 0.16 * width, y - 1.1 * height)]
        pen.marking(polygon([*points, (x + 0.4 * width, y + height), (x - 0.4 * width, y + height)]), whole)
    elif kind == "half":
        pen.marking(block(x + width, y, width, 1.3 * height), whole)


@dataclass(frozen=True)
class Places:
    """Where things are worn on a drawing: the top of the head, the eyes, the neck, and how wide these are."""

    top: tuple[float, float]
    eyes: tuple[float, float]
    apart: float
    neck: tuple[float, float]
    head_width: float
    neck_width: float


def worn(pen: Pen, at: Places) -> None:
    """What the individual wears, in the third colour."""
    _WORN[pen.one["worn"]](pen, at)


def _collar(pen: Pen, at: Places) -> None:
    x, y = at.neck
    pen.body(block(x, y, at.neck_width, 0.1, 0.08), pen.one.third)
    pen.canvas.paint(disc(x, y + 0.13, 0.1), GOLD, outline=0.04)


def _bow_tie(pen: Pen, at: Places) -> None:
    x, y = at.neck
    wings = polygon([(x, y + 0.03), (x - 0.34, y - 0.13), (x - 0.34, y + 0.22)], 0.04) | polygon(
        [(x, y + 0.03), (x + 0.34, y - 0.13), (x + 0.34, y + 0.22)], 0.04
    )
    pen.body(wings, pen.one.third)
    pen.canvas.paint(disc(x, y + 0.04, 0.09), lighter(pen.one.third), outline=0.03)


def _scarf(pen: Pen, at: Places) -> None:
    x, y = at.neck
    tail = block(x + 0.5 * at.neck_width, y + 0.12, 0.12, 0.18, 0.05, turn=-0.2)
    pen.body(tail, darker(pen.one.third, 0.15))
    pen.body(block(x, y, at.neck_width + 0.06, 0.14, 0.13), pen.one.third)
    for u in (-0.55, 0.0, 0.55):
        pen.detail(block(x + u * at.neck_width, y, 0.06, 0.14), lighter(pen.one.third, 0.55))


def _top_hat(pen: Pen, at: Places) -> None:
    x, y = at.top
    pen.body(block(x, y - 0.2, 0.27, 0.27, 0.04), pen.one.third)
    pen.detail(block(x, y - 0.06, 0.27, 0.07), lighter(pen.one.third, 0.6))
    pen.body(block(x, y + 0.06, 0.46, 0.07, 0.06), pen.one.third)


def _beanie(pen: Pen, at: Places) -> None:
    x, y = at.top
    wide = 0.86 * at.head_width
    dome = ellipse(x, y + 0.16, wide, 0.42) & block(x, y - 0.2, 1.2 * wide, 0.36)
    pen.body(dome, pen.one.third)
    pen.body(block(x, y + 0.14, wide, 0.09, 0.08), lighter(pen.one.third, 0.55))
    pen.canvas.paint(disc(x, y - 0.3, 0.13), lighter(pen.one.third, 0.55), outline=0.04)


def _crown(pen: Pen, at: Places) -> None:
    x, y = at.top
    points = [(-0.36, 0.14), (-0.42, -0.3), (-0.19, -0.08), (0, -0.38), (0.19, -0.08), (0.42, -0.3), (0.36, 0.14)]
    pen.body(polygon([(x + u, y + v) for u, v in points], 0.02), pen.one.third)
    for u in (-0.22, 0.0, 0.22):
        pen.detail(disc(x + u, y + 0.03, 0.065), WHITE)


def _glasses(pen: Pen, at: Places) -> None:
    x, y = at.eyes[0] + 0.1 * pen.pose.look, at.eyes[1]
    for side in (-1, 1):
        ring = disc(x + side * at.apart, y, 0.27)
        pen.detail(ring - disc(x + side * at.apart, y, 0.185), pen.one.third)
    pen.detail(stroke([(x - at.apart + 0.25, y), (x + at.apart - 0.25, y)], 0.045), pen.one.third)
    for side in (-1, 1):
        pen.detail(
            stroke([(x + side * (at.apart + 0.25), y), (x + side * at.head_width, y - 0.06)], 0.04), pen.one.third
        )


def _flower(pen: Pen, at: Places) -> None:
    x, y = at.top[0] - 0.55 * at.head_width, at.top[1] + 0.12
    petals = disc(x, y - 0.17, 0.13)
    for u, v in ((0.16, -0.05), (0.1, 0.14), (-0.1, 0.14), (-0.16, -0.05)):
        petals = petals | disc(x + u, y + v, 0.13)
    pen.body(petals, pen.one.third)
    pen.detail(disc(x, y, 0.1), GOLD)


_WORN: dict[str, Callable[[Pen, Places], None]] = {
    "collar": _collar,
    "bow tie": _bow_tie,
    "scarf": _scarf,
    "top hat": _top_hat,
    "beanie": _beanie,
    "crown": _crown,
    "glasses": _glasses,
    "flower": _flower,
}

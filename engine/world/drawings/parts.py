"""What drawings of several classes share: eyes, patterns, things that are worn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

from engine.world.individuals import Individual
from engine.world.shapes import Canvas, Colour, Shape, arc, block, disc, ellipse, lighter, polygon

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
        eye(pen, shift + side * x, y, size)


def eye(pen: Pen, x: float, y: float, size: float) -> None:
    """One eye of the individual's kind."""
    kind, look = pen.one["eyes"], 0.3 * size * pen.pose.look
    if pen.pose.blink:
        pen.detail(arc(x, y - 0.2 * size, size * 0.85, 0.15 * pi, 0.85 * pi, 0.06), INK)
    elif kind == "dots":
        # A pale rim keeps them seen on dark bodies.
        pen.detail(ellipse(x + look, y, 0.8 * size + 0.05, 0.95 * size + 0.05), lighter(pen.one.body, 0.6))
        pen.detail(ellipse(x + look, y, 0.8 * size, 0.95 * size), INK)
    elif kind == "large":
        pen.canvas.paint(disc(x, y, 1.25 * size), pen.one.third, outline=LINE)
        pen.detail(disc(x + look, y + 0.03, 0.7 * size), INK)
    else:
        pen.canvas.paint(disc(x, y, 1.1 * size), WHITE, outline=LINE)
        pen.detail(disc(x + look, y + 0.1 * size, 0.6 * size), INK)


def pattern(pen: Pen, whole: Shape, x: float, y: float, width: float, height: float) -> None:
    """The individual's pattern over the part `whole`, which is about that wide and high around (x, y)."""
    kind = pen.one["pattern"]
    if kind == "patch":
        pen.marking(ellipse(x + 0.42 * width, y - 0.12 * height, 0.42 * width, 0.52 * height, 0.2), whole)
    elif kind == "spots":
        for u, v, r in ((-0.6, -0.5, 0.3), (0.1, -0.85, 0.26), (0.74, -0.3, 0.3), (-0.72, 0.5, 0.26)):
            pen.marking(disc(x + u * width, y + v * height, r * width), whole)
    elif kind == "mask":
        pen.marking(block(x, y - 0.62 * height, 1.3 * width, 0.62 * height), whole)
    elif kind == "half":
        pen.marking(block(x + width, y, width, 1.3 * height), whole)


@dataclass(frozen=True)
class Places:
    """Where things are worn on a drawing: the top of the head, the neck, and how wide these are."""

    top: tuple[float, float]
    neck: tuple[float, float]
    head_width: float
    neck_width: float


def worn(pen: Pen, at: Places) -> None:
    """What the individual wears, in the third colour."""
    _WORN[pen.one["worn"]](pen, at)


def _collar(pen: Pen, at: Places) -> None:
    x, y = at.neck
    pen.body(block(x, y, at.neck_width, 0.12, 0.08), pen.one.third)
    pen.canvas.paint(disc(x, y + 0.09, 0.12), GOLD, outline=LINE)


def _bow_tie(pen: Pen, at: Places) -> None:
    x, y = at.neck
    wing = polygon([(x, y + 0.03), (x + 0.38, y - 0.15), (x + 0.38, y + 0.2)], 0.04)
    other = polygon([(x, y + 0.03), (x - 0.38, y - 0.15), (x - 0.38, y + 0.2)], 0.04)
    pen.body(wing | other, pen.one.third)


def _top_hat(pen: Pen, at: Places) -> None:
    x, y = at.top
    pen.body(block(x, y - 0.2, 0.29, 0.27, 0.04), pen.one.third)
    pen.body(block(x, y + 0.06, 0.48, 0.09, 0.06), pen.one.third)


def _beanie(pen: Pen, at: Places) -> None:
    x, y = at.top
    wide = 0.86 * at.head_width
    pen.body(ellipse(x, y + 0.16, wide, 0.42) & block(x, y - 0.2, 1.2 * wide, 0.36), pen.one.third)
    pen.body(block(x, y + 0.14, wide, 0.11, 0.08), lighter(pen.one.third, 0.55))


def _crown(pen: Pen, at: Places) -> None:
    x, y = at.top
    points = [(-0.36, 0.14), (-0.44, -0.34), (-0.18, -0.06), (0, -0.4), (0.18, -0.06), (0.44, -0.34), (0.36, 0.14)]
    pen.body(polygon([(x + u, y + v) for u, v in points], 0.03), pen.one.third)


_WORN: dict[str, Callable[[Pen, Places], None]] = {
    "collar": _collar,
    "bow tie": _bow_tie,
    "top hat": _top_hat,
    "beanie": _beanie,
    "crown": _crown,
}

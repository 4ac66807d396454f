"""Classes that are seen from the side, looking left: bird, fish, snail."""

from __future__ import annotations

from math import pi

from engine.world.drawings.parts import INK, Pen, Places, eye, pattern, worn
from engine.world.shapes import Colour, Shape, arc, block, darker, disc, ellipse, polygon, stroke

BEAK: Colour = (1.0, 0.68, 0.2)


def bird(pen: Pen) -> None:
    """A round bird in profile, its head at the upper left."""
    large = 1 + 0.1 * pen.one.build[1]
    head = disc(-0.3, -0.3, 0.38)
    trunk = ellipse(0.08, 0.2, 0.56 + 0.04 * pen.one.build[0], 0.46, 0.25)
    pen.body(polygon([(0.42, 0.1), (0.88, -0.16), (0.92, 0.12), (0.82, 0.34)], 0.04), pen.one.second)
    for x in (-0.02, 0.24):
        pen.detail(stroke([(x, 0.6), (x, 0.86), (x - 0.14, 0.9)], 0.07), darker(BEAK, 0.2))
    _crest(pen, large)
    whole = head | trunk
    pen.body(whole, pen.one.body)
    _plumage(pen, whole)
    pen.body(ellipse(0.26, 0.16, 0.38, 0.26 * large, 0.35), pen.one.second)
    _beak(pen)
    eye(pen, -0.37 + 0.05 * pen.pose.look, -0.28, 0.16)
    worn(pen, Places((-0.26, -0.48), (-0.22, 0.08), 0.36, 0.34))


def _crest(pen: Pen, large: float) -> None:
    kind = pen.one["ears"]
    if kind == "crest":
        shape = polygon([(-0.42, -0.55), (-0.1, -0.84 * large), (0.02, -0.4)], 0.05)
    elif kind == "plume":
        shape = ellipse(0.04, -0.7, 0.34 * large, 0.16, -0.4)
    else:
        return
    pen.body(shape, pen.one.second)


def _plumage(pen: Pen, whole: Shape) -> None:
    kind = pen.one["pattern"]
    if kind == "breast":
        pen.marking(ellipse(-0.26, 0.32, 0.36, 0.36), whole)
    elif kind == "mask":
        pen.marking(block(-0.3, -0.36, 0.6, 0.24, 0.0, 0.1), whole)
    elif kind == "back":
        pen.marking(ellipse(0.3, -0.22, 0.62, 0.42, 0.6), whole)


def _beak(pen: Pen) -> None:
    x, y = -0.64, -0.2
    shape = {
        "short": polygon([(x + 0.05, y - 0.14), (x - 0.18, y + 0.02), (x + 0.05, y + 0.14)], 0.03),
        "long": polygon([(x + 0.05, y - 0.1), (x - 0.3, y + 0.05), (x + 0.05, y + 0.12)], 0.03),
        "broad": ellipse(x - 0.08, y + 0.03, 0.2, 0.12, -0.1),
    }[pen.one["muzzle"]]
    pen.body(shape, pen.one.third if pen.one["muzzle"] == "broad" else BEAK)


def fish(pen: Pen) -> None:
    """A fish that swims to the left; it wears its tail."""
    high, large = 0.48 + 0.05 * pen.one.build[0], 1 + 0.12 * pen.one.build[1]
    trunk = ellipse(-0.14, 0, 0.66, high)
    _tail(pen)
    _fins(pen, high, large)
    pen.body(trunk, pen.one.body)
    _scales(pen, trunk, high)
    _fish_mouth(pen)
    eye(pen, -0.46 + 0.05 * pen.pose.look, -0.12, 0.18)


def _tail(pen: Pen) -> None:
    shape = {
        "fork": polygon([(0.4, 0), (0.92, -0.5), (0.78, 0.0), (0.92, 0.5)], 0.05),
        "fan": polygon([(0.4, -0.08), (0.86, -0.42), (0.94, 0.0), (0.86, 0.42), (0.4, 0.08)], 0.05),
        "round": disc(0.66, 0, 0.3),
        "long": ellipse(0.68, -0.26, 0.36, 0.13, -0.6) | ellipse(0.68, 0.26, 0.36, 0.13, 0.6),
    }[pen.one["worn"]]
    pen.body(shape, pen.one.third)


def _fins(pen: Pen, high: float, large: float) -> None:
    kind = pen.one["ears"]
    if kind == "sail":
        shape = polygon([(-0.4, -high + 0.12), (-0.1, -0.82 * large), (0.34, -0.24)], 0.05)
    elif kind == "round":
        shape = ellipse(-0.1, -high - 0.02, 0.34, 0.26 * large)
    else:
        shape = polygon([(-0.1, 0.3), (0.0, 0.86 * large), (0.36, 0.2)], 0.05) | polygon(
            [(0.0, -0.3), (0.26, -0.7), (0.34, -0.2)], 0.05
        )
    pen.body(shape, pen.one.second)


def _scales(pen: Pen, trunk: Shape, high: float) -> None:
    kind = pen.one["pattern"]
    if kind == "band":
        pen.marking(block(0.0, 0, 0.2, 1.0, turn=0.15), trunk)
    elif kind == "mask":
        pen.marking(disc(-0.72, 0, 0.52), trunk)
    elif kind == "belly":
        pen.marking(ellipse(-0.14, 0.5, 0.8, 0.46), trunk)
    elif kind == "spots":
        for x, y in ((-0.1, -0.24), (0.2, 0.0), (-0.12, 0.28)):
            pen.marking(disc(x, y * high / 0.48, 0.15), trunk)


def _fish_mouth(pen: Pen) -> None:
    kind = pen.one["muzzle"]
    if kind == "smile":
        pen.detail(arc(-0.66, 0.04, 0.18, 0.1 * pi, 0.62 * pi, 0.06), INK)
    elif kind == "lips":
        pen.body(disc(-0.8, 0.02, 0.11) | disc(-0.79, 0.19, 0.1), pen.one.third)
    else:
        pen.body(polygon([(-0.72, -0.1), (-0.94, 0.08), (-0.7, 0.22)], 0.03), BEAK)


def snail(pen: Pen) -> None:
    """A snail that creeps to the left, its shell in the body's colour."""
    large = 1 + 0.06 * pen.one.build[1]
    skin = pen.one.second
    foot = stroke([(-0.6, 0.62), (0.7, 0.68)], 0.16) | stroke([(-0.6, 0.62), (-0.56, -0.1)], 0.2)
    for x in (-0.66, -0.4):
        pen.body(stroke([(x * 0.9 - 0.04, -0.1), (x, -0.52)], 0.06), skin)
    pen.body(foot, skin)
    shell = {
        "spiral": disc(0.2, 0.08, 0.5 * large),
        "dome": ellipse(0.2, 0.3, 0.56 * large, 0.66) & block(0.2, 0, 1, 0.52),
        "cone": polygon([(-0.24, 0.44), (0.34, -0.54), (0.66, 0.44)], 0.12),
    }[pen.one["ears"]]
    pen.body(shell, pen.one.body)
    pattern(pen, shell, 0.2, 0.08, 0.5, 0.5)
    if pen.one["ears"] == "spiral":
        pen.detail(disc(0.2, 0.1, 0.3) - disc(0.2, 0.1, 0.22), pen.one.third, shell)
        pen.detail(disc(0.2, 0.1, 0.1), pen.one.third)
    else:
        for y in (-0.1, 0.2):
            pen.detail(block(0.2, y, 0.8, 0.05), pen.one.third, shell)
    worn(pen, Places((-0.52, -0.1), (-0.52, 0.36), 0.24, 0.22))
    for x in (-0.68, -0.38):
        eye(pen, x, -0.56, 0.14)
    kind = pen.one["muzzle"]
    if kind == "smile":
        pen.detail(arc(-0.6, 0.08, 0.12, 0.1 * pi, 0.9 * pi, 0.055), INK)
    elif kind == "open":
        pen.canvas.paint(ellipse(-0.62, 0.18, 0.09, 0.1), (0.5, 0.1, 0.15), outline=0.03)
    else:
        pen.detail(stroke([(-0.72, 0.16), (-0.52, 0.16)], 0.055), INK)

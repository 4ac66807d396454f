"""Classes that are seen from the front, as faces: dog, cat, bear, rabbit, frog."""

from __future__ import annotations

from math import pi

from engine.world.drawings.parts import (
    CREAM,
    INK,
    NOSE,
    TONGUE,
    WHITE,
    Pen,
    Places,
    eye,
    eyes,
    pattern,
    worn,
)
from engine.world.shapes import Colour, Shape, arc, block, disc, ellipse, lighter, polygon, stroke

PINK: Colour = (1.0, 0.66, 0.7)


def _ear(pen: Pen, ear: Shape, inner: Shape | None = None) -> None:
    """A pair of ears in the second colour, their inside lighter."""
    pen.body(ear.both_sides(), pen.one.second)
    if inner is not None:
        pen.detail(inner.both_sides(), lighter(pen.one.second, 0.55), ear.both_sides())


def _muzzle_colour(pen: Pen) -> Colour:
    kind = pen.one["muzzle"]
    return pen.one.second if kind == "second" else lighter(pen.one.body, 0.3) if kind == "bare" else CREAM


def _mouth(pen: Pen, x: float, y: float, size: float) -> None:
    """Two small arcs under the nose, with the tongue out below them in those that show it."""
    if pen.one["muzzle"] == "tongue":
        pen.canvas.paint(ellipse(x, y + 0.17, 0.1, 0.15), TONGUE, outline=0.035)
    for side in (-1, 1):
        pen.detail(arc(x + side * size, y, size, 0.05 * pi, 0.95 * pi, 0.028), INK)


def dog(pen: Pen) -> None:
    wide, large = 0.54 + 0.04 * pen.one.build[0], 1 + 0.1 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    if ears in ("pointed", "odd"):
        up = polygon([(0.2, -0.3), (0.58, -0.85 * large), (0.62, -0.1)], 0.06)
        inner = polygon([(0.38, -0.35), (0.54, -0.66 * large), (0.56, -0.2)], 0.02)
        _ear(pen, up, inner)
    head = ellipse(0, 0.02, wide, 0.52) | ellipse(0, 0.3, 0.9 * wide, 0.34)
    if ears in ("pointed", "odd"):
        pen.body(head, pen.one.body)
        pattern(pen, head, x, 0.05, wide, 0.5)
    else:
        pen.body(head, pen.one.body)
        pattern(pen, head, x, 0.05, wide, 0.5)
    if ears == "hanging":
        _ear(pen, ellipse(0.6, 0.02, 0.19, 0.42 * large, -0.25))
    elif ears == "long":
        _ear(pen, ellipse(0.63, 0.2, 0.2, 0.6 * large, -0.12))
    elif ears == "folded":
        _ear(pen, polygon([(0.22, -0.46), (0.62, -0.6 * large), (0.72, -0.12)], 0.07))
    elif ears == "odd":
        pen.body(ellipse(-0.6, 0.02, 0.19, 0.42 * large, 0.25), pen.one.second)
    size = 0.36 if pen.one["muzzle"] == "wide" else 0.28
    pen.detail(ellipse(x, 0.36, size, 0.24), _muzzle_colour(pen))
    eyes(pen, 0.25, 0.0, 0.12)
    pen.detail(ellipse(1.3 * x, 0.22, 0.14, 0.1), NOSE)
    pen.detail(ellipse(1.3 * x - 0.04, 0.19, 0.045, 0.025), WHITE)
    _mouth(pen, 1.2 * x, 0.36, 0.1)
    worn(pen, Places((0, -0.5), (0, 0.0), 0.25, (0, 0.72), wide, 0.4))


def cat(pen: Pen) -> None:
    wide, large = 0.6 + 0.04 * pen.one.build[0], 1 + 0.12 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    tips = {
        "tall": (0.5, -0.92),
        "wide": (0.74, -0.66),
        "small": (0.5, -0.6),
        "folded": (0.66, -0.5),
        "tufted": (0.58, -0.8),
    }
    tx, ty = tips[ears]
    ty *= large
    outer = polygon([(0.1, -0.3), (tx, ty), (0.6, -0.02)], 0.05)
    inner = polygon([(0.28, -0.28), (tx - 0.03, ty + 0.22), (0.54, -0.1)], 0.02)
    _ear(pen, outer, inner if ears != "folded" else None)
    if ears == "tufted":
        pen.detail(stroke([(tx, ty), (tx + 0.06, ty - 0.14)], 0.05).both_sides(), pen.one.third)
    cheek = polygon([(0.3, 0.1), (wide + 0.14, 0.3), (0.3, 0.5)], 0.03).both_sides()
    head = ellipse(0, 0.12, wide, 0.48) | cheek
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.1, wide, 0.48)
    size = 0.3 if pen.one["muzzle"] == "wide" else 0.2
    pen.detail(
        ellipse(x - 0.11, 0.36, size * 0.8, 0.15) | ellipse(x + 0.11, 0.36, size * 0.8, 0.15), _muzzle_colour(pen)
    )
    eyes(pen, 0.28, 0.08, 0.13)
    pen.detail(polygon([(1.3 * x - 0.07, 0.26), (1.3 * x + 0.07, 0.26), (1.3 * x, 0.33)], 0.03), PINK)
    _mouth(pen, 1.2 * x, 0.39, 0.09)
    for side in (-1, 1):
        for v in (0.3, 0.42):
            pen.detail(stroke([(x + side * 0.36, 0.36), (side * 0.86, v + 0.03)], 0.02), INK)
    worn(pen, Places((0, -0.34), (0, 0.08), 0.28, (0, 0.68), wide, 0.4))


def bear(pen: Pen) -> None:
    wide, large = 0.58 + 0.03 * pen.one.build[0], 1 + 0.12 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    places = {
        "small": (0.46, -0.38, 0.17),
        "large": (0.52, -0.36, 0.29),
        "high": (0.3, -0.52, 0.2),
        "low": (0.64, -0.1, 0.21),
        "odd": (0.5, -0.36, 0.22),
    }
    ex, ey, radius = places[ears]
    _ear(pen, disc(ex, ey, radius * large), disc(ex, ey + 0.03, 0.55 * radius * large))
    if ears == "odd":
        pen.body(disc(-ex, ey, radius * large), pen.one.third)
    head = ellipse(0, 0.13, wide, 0.54)
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.1, wide, 0.52)
    size = 0.38 if pen.one["muzzle"] == "wide" else 0.27
    pen.detail(ellipse(x, 0.4, size, 0.22), _muzzle_colour(pen))
    eyes(pen, 0.26, 0.05, 0.105)
    pen.detail(ellipse(1.3 * x, 0.29, 0.13, 0.085), NOSE)
    pen.detail(ellipse(1.3 * x - 0.04, 0.265, 0.04, 0.022), WHITE)
    _mouth(pen, 1.2 * x, 0.42, 0.08)
    worn(pen, Places((0, -0.4), (0, 0.05), 0.26, (0, 0.73), wide, 0.42))


def rabbit(pen: Pen) -> None:
    wide, large = 0.48 + 0.04 * pen.one.build[0], 1 + 0.1 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    if ears in ("straight", "bent"):
        _ear(pen, ellipse(0.22, -0.48, 0.13, 0.44 * large, 0.1), ellipse(0.22, -0.46, 0.06, 0.32 * large, 0.1))
        if ears == "bent":
            pen.detail(block(0.5, -0.8, 0.3, 0.22), pen.one.second, ellipse(0.22, -0.48, 0.13, 0.44 * large, 0.1))
            pen.body(ellipse(0.44, -0.62, 0.24, 0.11, 0.5), pen.one.second)
    elif ears == "spread":
        _ear(pen, ellipse(0.44, -0.4, 0.14, 0.46 * large, 0.6), ellipse(0.44, -0.39, 0.065, 0.34 * large, 0.6))
    elif ears == "short":
        _ear(pen, ellipse(0.27, -0.36, 0.17, 0.3 * large, 0.2), ellipse(0.27, -0.36, 0.08, 0.2 * large, 0.2))
    head = ellipse(0, 0.14, wide, 0.44) | ellipse(0, 0.32, wide + 0.06, 0.32)
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.18, wide + 0.04, 0.44)
    if ears == "lop":
        _ear(pen, ellipse(0.56, 0.14, 0.15, 0.5 * large, -0.2))
    size = 0.3 if pen.one["muzzle"] == "wide" else 0.2
    pen.detail(disc(x - 0.1, 0.43, size * 0.65) | disc(x + 0.1, 0.43, size * 0.65), _muzzle_colour(pen))
    pen.detail(block(1.2 * x, 0.57, 0.07, 0.1, 0.02), WHITE)
    eyes(pen, 0.23, 0.12, 0.115)
    pen.detail(ellipse(1.3 * x, 0.31, 0.075, 0.055), PINK)
    _mouth(pen, 1.2 * x, 0.41, 0.075)
    worn(pen, Places((0, -0.26), (0, 0.12), 0.23, (0, 0.74), wide, 0.36))


def frog(pen: Pen) -> None:
    wide, large = 0.66 + 0.04 * pen.one.build[0], 1 + 0.1 * pen.one.build[1]
    x = 0.1 * pen.pose.look
    ex, ey, radius = {
        "high": (0.36, -0.5, 0.2),
        "wide": (0.52, -0.24, 0.2),
        "close": (0.24, -0.4, 0.2),
        "large": (0.4, -0.34, 0.27),
    }[pen.one["ears"]]
    radius *= large
    head = ellipse(0, 0.2, wide, 0.44)
    bumps = (disc(ex, ey, radius + 0.06) | stroke([(ex, ey), (ex * 0.9, 0.1)], 0.16)).both_sides()
    pen.body(head | bumps, pen.one.body)
    if pen.one["pattern"] == "chin":
        pen.marking(ellipse(x, 0.62, wide * 0.9, 0.34), head)
    else:
        pattern(pen, head, x, 0.12, wide, 0.44)
    shift = 0.4 * x
    pen.detail(disc(x - 0.07, 0.08, 0.025) | disc(x + 0.07, 0.08, 0.025), INK)
    kind = pen.one["muzzle"]
    if kind == "straight":
        pen.detail(stroke([(x - 0.38, 0.3), (x + 0.38, 0.3)], 0.035), INK)
    elif kind == "open":
        mouth = ellipse(x, 0.3, 0.36, 0.24) & block(x, 0.5, 1, 0.22)
        pen.canvas.paint(mouth, (0.5, 0.1, 0.15), outline=0.03)
        pen.detail(ellipse(x, 0.52, 0.2, 0.1), TONGUE, mouth)
    else:
        pen.detail(arc(x, -0.08, 0.5, 0.22 * pi, 0.78 * pi, 0.035), INK)
        if kind == "tongue":
            pen.canvas.paint(ellipse(x + 0.08, 0.48, 0.11, 0.17), TONGUE, outline=0.035)
    places = Places((0, -0.2), (shift, ey), ex, (0, 0.72), wide, 0.44)
    if pen.one["worn"] != "glasses":
        worn(pen, places)  # below the eyes, which stand higher than a hat
    for side in (-1, 1):
        eye(pen, shift + side * ex, ey, 0.85 * radius, outward=side)
    if pen.one["worn"] == "glasses":
        worn(pen, places)

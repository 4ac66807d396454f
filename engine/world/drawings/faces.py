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
from engine.world.shapes import Colour, arc, block, disc, ellipse, lighter, polygon, stroke

PINK: Colour = (1.0, 0.66, 0.7)


def _muzzle_colour(pen: Pen) -> Colour:
    kind = pen.one["muzzle"]
    return pen.one.second if kind == "second" else lighter(pen.one.body, 0.35) if kind == "bare" else CREAM


def dog(pen: Pen) -> None:
    wide, large = 0.56 + 0.04 * pen.one.build[0], 1 + 0.1 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    if ears in ("pointed", "odd"):
        up = polygon([(0.16, -0.3), (0.56, -0.85 * large), (0.64, -0.1)], 0.07)
        pen.body(up.both_sides() if ears == "pointed" else up, pen.one.second)
    head = ellipse(0, 0.02, wide, 0.52) | ellipse(0, 0.3, 0.9 * wide, 0.34)
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.05, wide, 0.5)
    hanging = ellipse(0.62, 0.06, 0.22, 0.5 * large, -0.2)
    if ears != "pointed":
        pen.body(hanging.both_sides() if ears == "hanging" else hanging.mirrored(), pen.one.second)
    pen.detail(ellipse(x, 0.36, 0.32, 0.26), _muzzle_colour(pen))
    eyes(pen, 0.26, -0.02, 0.15)
    pen.detail(ellipse(1.3 * x, 0.24, 0.16, 0.12), NOSE)
    worn(pen, Places((0, -0.5), (0, 0.74), wide, 0.42))


def cat(pen: Pen) -> None:
    wide, large = 0.6 + 0.04 * pen.one.build[0], 1 + 0.12 * pen.one.build[1]
    x = 0.1 * pen.pose.look
    tx, ty = {"tall": (0.5, -0.82), "wide": (0.78, -0.62), "folded": (0.66, -0.46)}[pen.one["ears"]]
    ty *= large
    pen.body(polygon([(0.08, -0.3), (tx, ty), (0.6, -0.02)], 0.06).both_sides(), pen.one.second)
    cheek = polygon([(0.3, 0.08), (wide + 0.2, 0.34), (0.3, 0.54)], 0.03).both_sides()
    head = ellipse(0, 0.12, wide, 0.48) | cheek
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.1, wide, 0.48)
    pen.detail(ellipse(x - 0.14, 0.4, 0.2, 0.16) | ellipse(x + 0.14, 0.4, 0.2, 0.16), _muzzle_colour(pen))
    eyes(pen, 0.29, 0.06, 0.155)
    pen.detail(polygon([(1.3 * x - 0.08, 0.26), (1.3 * x + 0.08, 0.26), (1.3 * x, 0.36)], 0.05), PINK)
    worn(pen, Places((0, -0.34), (0, 0.72), wide, 0.42))


def bear(pen: Pen) -> None:
    wide, large = 0.6 + 0.03 * pen.one.build[0], 1 + 0.12 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    ex, ey, radius = {"small": (0.48, -0.38, 0.2), "large": (0.54, -0.36, 0.32), "odd": (0.5, -0.38, 0.26)}[ears]
    ear = disc(ex, ey, radius * large)
    pen.body(ear.both_sides(), pen.one.second)
    if ears == "odd":
        pen.body(ear.mirrored(), pen.one.third)
    head = ellipse(0, 0.13, wide, 0.54)
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.1, wide, 0.52)
    pen.detail(ellipse(x, 0.4, 0.33, 0.24), _muzzle_colour(pen))
    eyes(pen, 0.27, 0.04, 0.14)
    pen.detail(ellipse(1.3 * x, 0.3, 0.15, 0.11), NOSE)
    worn(pen, Places((0, -0.4), (0, 0.74), wide, 0.44))


def rabbit(pen: Pen) -> None:
    wide, large = 0.5 + 0.04 * pen.one.build[0], 1 + 0.1 * pen.one.build[1]
    ears, x = pen.one["ears"], 0.1 * pen.pose.look
    if ears == "straight":
        pen.body(ellipse(0.24, -0.48, 0.16, 0.44 * large, 0.1).both_sides(), pen.one.second)
    elif ears == "spread":
        pen.body(ellipse(0.46, -0.38, 0.17, 0.46 * large, 0.65).both_sides(), pen.one.second)
    head = ellipse(0, 0.14, wide, 0.44) | ellipse(0, 0.32, wide + 0.06, 0.32)
    pen.body(head, pen.one.body)
    pattern(pen, head, x, 0.18, wide + 0.04, 0.44)
    if ears == "lop":
        pen.body(ellipse(0.58, 0.14, 0.18, 0.5 * large, -0.2).both_sides(), pen.one.second)
    pen.detail(disc(x - 0.13, 0.45, 0.17) | disc(x + 0.13, 0.45, 0.17), _muzzle_colour(pen))
    pen.detail(block(1.2 * x, 0.6, 0.1, 0.12, 0.03), WHITE)
    eyes(pen, 0.25, 0.1, 0.145)
    pen.detail(ellipse(1.3 * x, 0.33, 0.1, 0.08), PINK)
    worn(pen, Places((0, -0.26), (0, 0.73), wide, 0.38))


def frog(pen: Pen) -> None:
    wide, large = 0.66 + 0.04 * pen.one.build[0], 1 + 0.1 * pen.one.build[1]
    x, kind = 0.1 * pen.pose.look, pen.one["muzzle"]
    ex, ey, radius = {"high": (0.34, -0.48, 0.22), "wide": (0.54, -0.24, 0.22), "large": (0.4, -0.34, 0.3)}[
        pen.one["ears"]
    ]
    radius *= large
    head = ellipse(0, 0.2, wide, 0.44)
    bumps = (disc(ex, ey, radius + 0.06) | stroke([(ex, ey), (ex * 0.9, 0.1)], 0.16)).both_sides()
    pen.body(head | bumps, pen.one.body)
    if pen.one["pattern"] == "chin":
        pen.marking(ellipse(x, 0.62, wide * 0.9, 0.34), head)
    else:
        pattern(pen, head, x, 0.12, wide, 0.44)
    if kind == "open":
        pen.canvas.paint(ellipse(x, 0.3, 0.38, 0.26) & block(x, 0.5, 1, 0.24), (0.5, 0.1, 0.15), outline=0.03)
    else:
        pen.detail(arc(x, -0.08, 0.5, 0.2 * pi, 0.8 * pi, 0.055), INK)
    if kind == "tongue":
        pen.canvas.paint(ellipse(x + 0.08, 0.5, 0.15, 0.2), TONGUE, outline=0.035)
    worn(pen, Places((0, -0.2), (0, 0.74), wide, 0.46))  # below the eyes, which stand higher than a hat
    for side in (-1, 1):
        eye(pen, 0.4 * x + side * ex, ey, 0.85 * radius)

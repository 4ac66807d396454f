"""Classes of things: robot, car, boat, rocket, teapot."""

from __future__ import annotations

from math import cos, pi, sin

from engine.world.drawings.parts import GOLD, INK, LINE, WHITE, Pen, against
from engine.world.shapes import Colour, Shape, arc, block, darker, disc, ellipse, lighter, polygon, stroke

GLASS: Colour = (0.72, 0.9, 1.0)
STEEL: Colour = (0.78, 0.8, 0.84)
RUBBER: Colour = (0.13, 0.13, 0.16)
WOOD: Colour = (0.55, 0.36, 0.2)
LAMP: Colour = (1.0, 0.95, 0.6)


def star(x: float, y: float, radius: float) -> Shape:
    """A star of five points."""
    angles = [(-0.5 + 0.2 * k) * pi for k in range(10)]
    return polygon(
        [
            (x + radius * (0.45 if k % 2 else 1) * cos(a), y + radius * (0.45 if k % 2 else 1) * sin(a))
            for k, a in enumerate(angles)
        ],
        0.01,
    )


def robot(pen: Pen) -> None:
    wide = 0.54 + 0.05 * pen.one.build[0]
    head = block(0, 0.12, wide, 0.46, 0.12 + 0.1 * max(pen.one.build[1], 0))
    _robot_sides(pen, wide)
    _robot_top(pen)
    pen.body(head, pen.one.body)
    kind = pen.one["pattern"]
    if kind == "half":
        pen.marking(block(0.5, 0.1, 0.5, 1.0), head)
    elif kind == "band":
        pen.marking(block(0, -0.22, 1.0, 0.12), head)
    elif kind == "chest":
        pen.marking(block(0, 0.5, 1.0, 0.24), head)
    elif kind == "cheeks":
        pen.marking(disc(wide - 0.12, 0.34, 0.19).both_sides(), head)
    _robot_eyes(pen)
    _robot_mouth(pen)


def _robot_sides(pen: Pen, wide: float) -> None:
    kind = pen.one["worn"]
    if kind == "plugs":
        side = block(wide + 0.14, 0.1, 0.2, 0.07, 0.02) | block(wide + 0.26, 0.1, 0.06, 0.2, 0.03)
    elif kind == "cups":
        side = disc(wide, 0.1, 0.28)
    else:
        side = block(wide + 0.06, 0.1, 0.15, 0.17, 0.05)
    pen.body(side.both_sides(), pen.one.third)


def _robot_top(pen: Pen) -> None:
    kind = pen.one["ears"]
    if kind == "antenna":
        pen.body(stroke([(0, -0.3), (0, -0.6)], 0.07), STEEL)
        pen.body(disc(0, -0.7, 0.2), pen.one.second)
    elif kind == "dome":
        pen.body(ellipse(0, -0.32, 0.38, 0.36), pen.one.second)
    else:
        pen.body(stroke([(0, -0.3), (0, -0.5)], 0.06), STEEL)
        pen.body(ellipse(0, -0.72, 0.42, 0.3) & block(0, -0.4, 1, 0.32), pen.one.second)


def _robot_eyes(pen: Pen) -> None:
    kind, x = pen.one["eyes"], 0.08 * pen.pose.look
    light = darker(pen.one.third, 0.7) if pen.pose.blink else lighter(pen.one.third, 0.25)
    if kind == "visor":
        pen.canvas.paint(block(0, 0.0, 0.44, 0.17, 0.14), INK)
        for side in (-1, 1):
            pen.detail(disc(1.5 * x + side * 0.19, 0.0, 0.12), light)
    elif kind == "one":
        pen.canvas.paint(disc(0, 0.0, 0.27), WHITE, outline=LINE)
        pen.detail(disc(x, 0.0, 0.16), light)
    else:
        for side in (-1, 1):
            pen.canvas.paint(disc(0.26 * side, 0.0, 0.2), WHITE, outline=LINE)
            pen.detail(disc(0.26 * side + x, 0.0, 0.11), INK if not pen.pose.blink else STEEL)


def _robot_mouth(pen: Pen) -> None:
    kind = pen.one["muzzle"]
    if kind == "teeth":
        pen.canvas.paint(block(0, 0.37, 0.3, 0.12, 0.02), WHITE, outline=LINE)
        pen.detail(block(0, 0.37, 0.04, 0.12), INK)
    elif kind == "smile":
        pen.detail(arc(0, 0.14, 0.27, 0.2 * pi, 0.8 * pi, 0.065), INK)
    else:
        pen.detail(block(0, 0.37, 0.26, 0.07, 0.05), pen.one.second)


def car(pen: Pen) -> None:
    """A car that drives to the left."""
    style, large = pen.one["ears"], 0.02 * pen.one.build[1]
    cabin, glass = _cabins()[style]
    hull = block(0, 0.22, 0.86, 0.24, 0.16)
    _car_roof(pen, top=cabin.box[1], style=style)
    pen.body(cabin | hull, pen.one.body)
    _car_pattern(pen, cabin | hull, hull)
    pen.canvas.paint(glass & cabin.grown(-0.07), GLASS, outline=0.03)
    _car_front(pen)
    for x in (-0.48, 0.48):
        _wheel(pen, x, 0.48, 0.24 + large)


def _cabins() -> dict[str, tuple[Shape, Shape]]:
    """Each style's cabin and its windows."""
    return {
        "sedan": (
            polygon([(-0.44, 0.1), (-0.26, -0.38), (0.34, -0.38), (0.58, 0.1)], 0.06),
            polygon([(-0.36, 0.02), (-0.22, -0.32), (0.3, -0.32), (0.46, 0.02)]),
        ),
        "van": (block(0.1, -0.18, 0.74, 0.42, 0.1), block(-0.1, -0.24, 0.44, 0.2, 0.04)),
        "beetle": (
            ellipse(0.04, 0.14, 0.62, 0.66) & block(0, -0.3, 1, 0.6),
            ellipse(0.04, 0.06, 0.46, 0.46) & block(0, -0.3, 1, 0.32),
        ),
        "pickup": (
            polygon([(-0.42, 0.1), (-0.28, -0.4), (0.16, -0.4), (0.2, 0.1)], 0.06),
            block(-0.06, -0.16, 0.2, 0.18),
        ),
    }


def _car_pattern(pen: Pen, whole: Shape, hull: Shape) -> None:
    kind = pen.one["pattern"]
    if kind == "stripe":
        pen.marking(block(0, 0.2, 1, 0.1), hull)
    elif kind == "two tone":
        pen.marking(block(0, 0.4, 1, 0.26), hull)
    elif kind == "door":
        pen.marking(block(0.12, 0.1, 0.26, 0.36, 0.04), whole)


def _car_roof(pen: Pen, top: float, style: str) -> None:
    x = -0.04 if style == "pickup" else 0.1
    kind = pen.one["worn"]
    if kind == "rack":
        pen.body(block(x, top - 0.12, 0.28, 0.12, 0.04), pen.one.third)
    elif kind == "light":
        pen.body(ellipse(x, top - 0.04, 0.2, 0.2), pen.one.third)
    else:
        pen.body(polygon([(0.62, 0.1), (0.76, -0.3), (0.96, -0.36), (0.9, 0.1)], 0.03), pen.one.third)


def _car_front(pen: Pen) -> None:
    if pen.one["muzzle"] == "chrome":
        pen.canvas.paint(block(-0.78, 0.38, 0.17, 0.09, 0.05), STEEL, outline=LINE)
    else:
        pen.body(ellipse(-0.82, 0.24, 0.14, 0.18), pen.one.second)
    pen.canvas.paint(disc(-0.7, 0.1, 0.11), WHITE if pen.pose.blink else LAMP, outline=LINE)


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.detail(disc(x, y, radius), RUBBER)
    pen.detail(disc(x, y, 0.66 * radius), pen.one.third)
    if pen.one["eyes"] == "ring":
        pen.detail(disc(x, y, 0.34 * radius), against(pen.one.third))


def boat(pen: Pen) -> None:
    """A boat that sails to the left."""
    bow = {"round": 0.0, "pointed": -0.05, "flat": 0.16}[pen.one["muzzle"]]
    hull = polygon([(-0.84 + bow, 0.3), (0.8, 0.3), (0.58, 0.72), (-0.5, 0.72)], 0.08)
    _rig(pen)
    pen.body(hull, pen.one.body)
    kind = pen.one["pattern"]
    if kind == "half":
        pen.marking(block(0, 0.66, 1, 0.17), hull)
    elif kind == "stripe":
        pen.marking(block(0, 0.36, 1, 0.1), hull)
    elif kind == "cross":
        pen.marking(block(0.5, 0.5, 0.12, 0.5), hull)
    _portholes(pen)
    if pen.one["worn"] == "lifebuoy":
        pen.canvas.paint(disc(-0.52, 0.48, 0.2) - disc(-0.52, 0.48, 0.08), pen.one.third, outline=LINE)


def _rig(pen: Pen) -> None:
    kind, large = pen.one["ears"], 1 + 0.05 * pen.one.build[1]
    mast = 0.06
    if kind == "steamer":
        pen.body(block(0.1, 0.12, 0.46, 0.2, 0.03), WHITE)
        pen.body(block(0.2, -0.34, 0.17, 0.32, 0.03), pen.one.second)
        pen.detail(block(0.2, -0.5, 0.17, 0.1), pen.one.third)
        _pennant(pen, -0.5, -0.3)
        return
    pen.detail(block(mast, -0.28, 0.06, 0.62), WOOD)
    top = -0.8 * large
    if kind == "one sail":
        pen.body(polygon([(0.18, top), (0.18, 0.16), (0.76, 0.16)], 0.04), pen.one.second)
    elif kind == "two sails":
        pen.body(polygon([(0.18, top), (0.18, 0.16), (0.72, 0.16)], 0.04), pen.one.second)
        pen.body(polygon([(-0.06, top + 0.1), (-0.06, 0.16), (-0.62, 0.16)], 0.04), pen.one.third)
    else:
        sail = block(mast, -0.28, 0.5, 0.4 * large, 0.06)
        pen.body(sail, pen.one.second)
        pen.detail(block(mast, -0.28, 0.16, 1), pen.one.third, sail)
    _pennant(pen, mast, min(-0.86, top - 0.06))


def _pennant(pen: Pen, x: float, y: float) -> None:
    kind = pen.one["worn"]
    if kind == "lifebuoy":
        return
    pen.detail(block(x, y + 0.2, 0.05, 0.25), WOOD)
    if kind == "flag":
        pen.body(polygon([(x, y - 0.06), (x, y + 0.24), (x - 0.46, y + 0.09)], 0.03), pen.one.third)
    else:
        pen.body(disc(x, y + 0.04, 0.15), GOLD)


def _portholes(pen: Pen) -> None:
    kind = pen.one["eyes"]
    if kind == "star":
        pen.canvas.paint(star(0.06, 0.5, 0.25), pen.one.third, outline=LINE)
        return
    light = LAMP if pen.pose.blink else GLASS
    for x in (-0.14, 0.3):
        pen.canvas.paint(disc(x, 0.48, 0.13), light, outline=LINE)


def rocket(pen: Pen) -> None:
    style = pen.one["ears"]
    wide = {"slim": 0.3, "round": 0.44, "bullet": 0.36}[style] + 0.03 * pen.one.build[0]
    trunk = ellipse(0, -0.06, wide, 0.78) & block(0, 0, 1, 0.56)
    if style == "bullet":
        trunk = block(0, 0.1, wide, 0.46, 0.08) | ellipse(0, -0.3, wide, 0.46)
    _flame(pen, wide)
    _rocket_fins(pen, wide)
    pen.body(trunk, pen.one.body)
    _rocket_pattern(pen, trunk, wide)
    tip = trunk & block(0, -0.8, 1, 0.38)
    pen.detail(tip, pen.one.third)
    if pen.one["muzzle"] == "ball":
        pen.body(disc(0, -0.76, 0.13), pen.one.third)
    elif pen.one["muzzle"] == "pointed":
        pen.body(polygon([(-0.1, -0.6), (0, -0.94), (0.1, -0.6)], 0.03), pen.one.third)
    _rocket_windows(pen, wide)


def _flame(pen: Pen, wide: float) -> None:
    reach = 0.74 if pen.pose.blink else 0.92
    pen.detail(polygon([(-0.7 * wide, 0.5), (0.7 * wide, 0.5), (0.0, reach)], 0.05), (1.0, 0.6, 0.15))


def _rocket_fins(pen: Pen, wide: float) -> None:
    kind = pen.one["worn"]
    if kind == "swept":
        fin = polygon([(0.6 * wide, 0.1), (0.76, 0.5), (0.72, 0.8), (0.6 * wide, 0.5)], 0.04)
    elif kind == "round":
        fin = ellipse(wide + 0.06, 0.44, 0.28, 0.26)
    else:
        fin = block(wide + 0.1, 0.42, 0.26, 0.22, 0.03)
    pen.body(fin.both_sides(), pen.one.third)


def _rocket_pattern(pen: Pen, trunk: Shape, wide: float) -> None:
    kind = pen.one["pattern"]
    if kind == "bands":
        for y in (0.12, 0.46):
            pen.marking(block(0, y, 1, 0.11), trunk)
    elif kind == "half":
        pen.marking(block(0.5, 0, 0.5, 1), trunk)
    elif kind == "stripe":
        pen.marking(block(0, 0, 0.14, 1), trunk)


def _rocket_windows(pen: Pen, wide: float) -> None:
    kind = pen.one["eyes"]
    light = LAMP if pen.pose.blink else GLASS
    if kind == "one":
        shapes = [disc(0, -0.14, 0.2)]
    elif kind == "two":
        shapes = [disc(0, -0.22, 0.15), disc(0, 0.18, 0.15)]
    else:
        shapes = [block(0, -0.14, 0.18, 0.17, 0.03)]
    for shape in shapes:
        pen.canvas.paint(shape, light, outline=LINE)


def teapot(pen: Pen) -> None:
    """A teapot with its spout to the left."""
    pots: dict[str, Shape] = {
        "round": ellipse(0.0, 0.2, 0.54, 0.48),
        "tall": ellipse(0.0, 0.36, 0.46, 0.4) | block(0, 0.06, 0.36, 0.42, 0.16),
        "square": block(0, 0.2, 0.5, 0.44, 0.14),
    }
    pot = pots[pen.one["ears"]]
    wide, top = pot.box[2], pot.box[1]
    _handle(pen, wide)
    _spout(pen, wide)
    pen.body(block(0, 0.68, 0.32, 0.08, 0.04), pen.one.third)
    pen.body(pot, pen.one.body)
    _glaze(pen, pot)
    _lid(pen, top)


def _handle(pen: Pen, wide: float) -> None:
    kind = pen.one["eyes"]
    if kind == "ring":
        shape = disc(wide + 0.08, 0.18, 0.3) - disc(wide + 0.08, 0.18, 0.16)
    elif kind == "square":
        shape = block(wide + 0.06, 0.18, 0.28, 0.3, 0.05) - block(wide + 0.02, 0.18, 0.17, 0.17, 0.03)
    else:
        points = [(wide - 0.12, -0.1), (wide + 0.2, -0.2), (wide + 0.32, 0.0), (wide + 0.1, 0.3)]
        shape = stroke(points, 0.075)
    pen.body(shape, pen.one.third)


def _spout(pen: Pen, wide: float) -> None:
    kind = pen.one["muzzle"]
    if kind == "curved":
        shape: Shape = stroke(
            [(-wide + 0.12, 0.36), (-wide - 0.12, 0.24), (-wide - 0.16, -0.02), (-wide - 0.32, -0.14)], 0.1
        )
    elif kind == "straight":
        shape = polygon([(-wide + 0.1, 0.1), (-wide - 0.36, -0.2), (-wide - 0.4, -0.08), (-wide + 0.1, 0.48)], 0.05)
    else:
        shape = block(-wide - 0.04, 0.08, 0.22, 0.12, 0.04, turn=0.3)
    pen.body(shape, pen.one.second)


def _glaze(pen: Pen, pot: Shape) -> None:
    kind = pen.one["pattern"]
    if kind == "band":
        pen.marking(block(0, 0.22, 1, 0.15), pot)
    elif kind == "half":
        pen.marking(block(0, 0.5, 1, 0.24), pot)
    elif kind == "heart":
        tip = polygon([(-0.27, 0.22), (0.27, 0.22), (0, 0.54)], 0.02)
        pen.marking(disc(0.14, 0.16, 0.17).both_sides() | tip, pot)


def _lid(pen: Pen, top: float) -> None:
    kind = pen.one["worn"]
    if kind == "cosy":
        cosy = ellipse(0, top + 0.26, 0.46, 0.44) & block(0, top - 0.1, 1, 0.36)
        pen.body(cosy, pen.one.third)
        pen.body(disc(0, top - 0.2, 0.16), lighter(pen.one.third, 0.55))
        return
    pen.body(ellipse(0, top + 0.1, 0.38, 0.18) & block(0, top - 0.2, 1, 0.32), pen.one.second)
    knob = disc(0, top - 0.14, 0.17)
    pen.body(knob - disc(0, top - 0.14, 0.07) if kind == "ring" else knob, pen.one.third)

"""Classes of things: robot, car, boat, rocket, teapot."""

from __future__ import annotations

from math import cos, pi, sin

from engine.world.drawings.parts import GOLD, INK, WHITE, Pen, Places, against, worn
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


def dots(pen: Pen, whole: Shape, places: list[tuple[float, float]], radius: float) -> None:
    for x, y in places:
        pen.marking(disc(x, y, radius), whole)


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
        pen.marking(block(0, -0.24, 1.0, 0.09), head)
        pen.marking(block(0, 0.52, 1.0, 0.07), head)
    elif kind == "rivets":
        dots(pen, head, [(u * (wide - 0.1), v) for u in (-1, 1) for v in (-0.24, 0.48)] + [(0, -0.24)], 0.075)
    elif kind == "chest":
        pen.marking(block(0, 0.5, 1.0, 0.24), head)
    elif kind == "cheeks":
        dots(pen, head, [(-wide + 0.14, 0.3), (wide - 0.14, 0.3)], 0.17)
    _robot_eyes(pen)
    _robot_mouth(pen)
    if pen.one["worn"] in ("bow tie", "scarf"):
        worn(pen, Places((0, -0.4), (0, 0), 0.25, (0, 0.66), wide, 0.4))


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
    if kind in ("antenna", "two antennas"):
        for x in (0.0,) if kind == "antenna" else (-0.3, 0.3):
            pen.body(stroke([(0.7 * x, -0.3), (x, -0.66)], 0.05), STEEL)
            pen.body(disc(x, -0.72, 0.14), pen.one.second)
    elif kind == "dome":
        pen.body(ellipse(0, -0.32, 0.36, 0.34), pen.one.second)
        pen.detail(ellipse(-0.12, -0.48, 0.08, 0.06, -0.5), lighter(pen.one.second, 0.6))
    elif kind == "bolt":
        points = [(0.1, -0.96), (-0.22, -0.56), (-0.02, -0.56), (-0.1, -0.24), (0.22, -0.64), (0.04, -0.64)]
        pen.body(polygon(points, 0.03), pen.one.second)
    else:
        pen.body(stroke([(0, -0.3), (0, -0.5)], 0.06), STEEL)
        pen.body(ellipse(0, -0.72, 0.42, 0.3) & block(0, -0.4, 1, 0.32), pen.one.second)


def _robot_eyes(pen: Pen) -> None:
    kind, x = pen.one["eyes"], 0.08 * pen.pose.look
    light = darker(pen.one.third, 0.7) if pen.pose.blink else lighter(pen.one.third, 0.25)
    if kind == "visor":
        pen.canvas.paint(block(0, 0.0, 0.42, 0.15, 0.12), INK)
        for side in (-1, 1):
            pen.detail(disc(1.5 * x + side * 0.17, 0.0, 0.1), light)
        return
    if kind == "one":
        pen.canvas.paint(disc(0, 0.0, 0.25), WHITE, outline=0.05)
        pen.detail(disc(x, 0.0, 0.16), light)
        pen.detail(disc(x, 0.0, 0.08), INK)
        return
    for side in (-1, 1):
        middle = 0.25 * side
        if kind == "square":
            pen.canvas.paint(block(middle, 0.0, 0.16, 0.15, 0.02), INK)
            pen.detail(block(middle + x, 0.0, 0.1, 0.09), light)
        elif kind == "round":
            pen.canvas.paint(disc(middle, 0.0, 0.18), WHITE, outline=0.04)
            pen.detail(disc(middle + x, 0.0, 0.1), INK if not pen.pose.blink else STEEL)
        else:
            pen.canvas.paint(block(middle, 0.0, 0.19, 0.08, 0.06), light, outline=0.05)


def _robot_mouth(pen: Pen) -> None:
    kind = pen.one["muzzle"]
    if kind == "teeth":
        pen.canvas.paint(block(0, 0.36, 0.3, 0.1, 0.02), WHITE, outline=0.04)
        for x in (-0.15, 0.0, 0.15):
            pen.detail(block(x, 0.36, 0.022, 0.1), INK)
    elif kind == "smile":
        pen.detail(arc(0, 0.14, 0.27, 0.2 * pi, 0.8 * pi, 0.05), INK)
    elif kind == "speaker":
        for y in (0.27, 0.37, 0.47):
            pen.detail(block(0, y, 0.26, 0.03, 0.02), INK)
    else:
        pen.detail(block(0, 0.36, 0.24, 0.05, 0.04), pen.one.second)


def car(pen: Pen) -> None:
    """A car that drives to the left."""
    style, large = pen.one["ears"], 0.02 * pen.one.build[1]
    cabin, glass = _cabins()[style]
    hull = block(0, 0.22, 0.86, 0.24, 0.16)
    if style == "racer":
        hull = polygon([(-0.86, 0.3), (-0.6, 0.12), (0.8, 0.0), (0.84, 0.4), (-0.84, 0.4)], 0.05)
    _car_roof(pen, top=min(cabin.box[1], 0.0), style=style)
    pen.body(cabin | hull, pen.one.body)
    _car_pattern(pen, cabin | hull, hull)
    pen.canvas.paint(glass & cabin.grown(-0.07), GLASS, outline=0.03)
    pen.detail(block(0.12, -0.14, 0.035, 0.3), darker(pen.one.body, 0.2), glass & cabin.grown(-0.07))
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
        "racer": (ellipse(0.16, 0.06, 0.36, 0.3), ellipse(0.1, -0.02, 0.24, 0.2)),
    }


def _car_pattern(pen: Pen, whole: Shape, hull: Shape) -> None:
    kind = pen.one["pattern"]
    if kind == "stripe":
        pen.marking(block(0, 0.2, 1, 0.085), hull)
    elif kind == "two tone":
        pen.marking(block(0, 0.4, 1, 0.26), hull)
    elif kind == "dots":
        dots(pen, hull, [(-0.64, 0.16), (-0.2, 0.2), (0.2, 0.2), (0.66, 0.16)], 0.11)
    elif kind == "flames":
        points = [(-0.9, 0.0), (-0.3, 0.06), (-0.5, 0.14), (0.1, 0.2), (-0.34, 0.26), (-0.1, 0.4), (-0.9, 0.46)]
        pen.marking(polygon(points), hull)
    elif kind == "door":
        pen.marking(block(0.12, 0.1, 0.24, 0.34, 0.04), whole)
    else:
        pen.detail(block(0, 0.42, 1, 0.06), pen.one.second, hull)


def _car_roof(pen: Pen, top: float, style: str) -> None:
    x = -0.04 if style == "pickup" else 0.1
    kind = pen.one["worn"]
    if kind == "rack":
        pen.body(block(x, top - 0.12, 0.28, 0.12, 0.04), pen.one.third)
        pen.detail(block(x, top - 0.12, 0.05, 0.12), darker(pen.one.third))
    elif kind == "light":
        pen.body(ellipse(x, top - 0.04, 0.2, 0.2), pen.one.third)
    elif kind == "sign":
        pen.body(block(x, top - 0.14, 0.3, 0.14, 0.03), pen.one.third)
        pen.detail(block(x, top - 0.14, 0.2, 0.045), WHITE)
    elif kind == "spoiler":
        pen.body(polygon([(0.66, 0.1), (0.78, -0.28), (0.96, -0.34), (0.9, 0.1)], 0.03), pen.one.third)
    else:
        pen.body(stroke([(0.66, 0.1), (0.66, -0.78)], 0.03), STEEL)
        pen.body(polygon([(0.66, -0.82), (0.66, -0.44), (0.96, -0.6)], 0.03), pen.one.third)


def _car_front(pen: Pen) -> None:
    kind = pen.one["muzzle"]
    if kind == "chrome":
        pen.canvas.paint(block(-0.8, 0.38, 0.13, 0.07, 0.05), STEEL, outline=0.03)
    elif kind == "bull bar":
        pen.body(block(-0.88, 0.28, 0.06, 0.2, 0.04), pen.one.third)
    else:
        pen.body(ellipse(-0.82, 0.24, 0.12, 0.16), pen.one.second)
    light = WHITE if pen.pose.blink else LAMP
    pen.canvas.paint(disc(-0.72, 0.12, 0.09), light, outline=0.03)


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.detail(disc(x, y, radius), RUBBER)
    kind = pen.one["eyes"]
    if kind == "ring":
        pen.detail(disc(x, y, 0.75 * radius), pen.one.third)
        pen.detail(disc(x, y, 0.4 * radius), against(pen.one.third))
    else:
        pen.detail(disc(x, y, 0.66 * radius), STEEL)
        pen.detail(disc(x, y, 0.55 * radius), pen.one.third)
        if kind == "spokes":
            pen.detail(block(x, y, 0.55 * radius, 0.035) | block(x, y, 0.035, 0.55 * radius), against(pen.one.third))


def boat(pen: Pen) -> None:
    """A boat that sails to the left."""
    bow = {"round": 0.0, "pointed": -0.1, "flat": 0.16}[pen.one["muzzle"]]
    hull = polygon([(-0.84 + bow, 0.3), (0.8, 0.3), (0.58, 0.72), (-0.5, 0.72)], 0.08)
    _rig(pen)
    pen.body(hull, pen.one.body)
    kind = pen.one["pattern"]
    if kind == "half":
        pen.marking(block(0, 0.66, 1, 0.17), hull)
    elif kind == "stripes":
        pen.marking(block(0, 0.34, 1, 0.075), hull)
        pen.marking(block(0, 0.66, 1, 0.06), hull)
    elif kind == "dots":
        dots(pen, hull, [(-0.5, 0.4), (0.0, 0.68), (0.55, 0.4), (-0.25, 0.62), (0.3, 0.62)], 0.07)
    elif kind == "cross":
        pen.marking(block(0.5, 0.5, 0.09, 0.5), hull)
    _portholes(pen)
    if pen.one["worn"] == "lifebuoy":
        pen.canvas.paint(disc(-0.56, 0.48, 0.17) - disc(-0.56, 0.48, 0.07), pen.one.third, outline=0.03)


def _rig(pen: Pen) -> None:
    kind, large = pen.one["ears"], 1 + 0.05 * pen.one.build[1]
    mast = 0.06
    if kind == "steamer":
        pen.body(block(0.1, 0.12, 0.46, 0.2, 0.03), WHITE)
        pen.body(block(0.2, -0.34, 0.17, 0.32, 0.03), pen.one.second)
        pen.detail(block(0.2, -0.5, 0.17, 0.07), pen.one.third)
        pen.detail(disc(0.34, -0.78, 0.13) | disc(0.5, -0.86, 0.1), (0.93, 0.93, 0.95))
        _pennant(pen, -0.5, -0.3)
        return
    pen.detail(block(mast, -0.28, 0.045, 0.62), WOOD)
    top = -0.8 * large
    if kind == "one sail":
        pen.body(polygon([(0.18, top), (0.18, 0.16), (0.76, 0.16)], 0.04), pen.one.second)
        pen.detail(
            block(0.4, -0.06, 0.5, 0.07), pen.one.third, polygon([(0.18, top), (0.18, 0.16), (0.76, 0.16)], 0.04)
        )
    elif kind == "two sails":
        pen.body(polygon([(0.18, top), (0.18, 0.16), (0.72, 0.16)], 0.04), pen.one.second)
        pen.body(polygon([(-0.06, top + 0.1), (-0.06, 0.16), (-0.62, 0.16)], 0.04), pen.one.third)
    elif kind == "square sail":
        sail = block(mast, -0.28, 0.5, 0.4 * large, 0.06)
        pen.body(sail, pen.one.second)
        for x in (-0.22, 0.34):
            pen.detail(block(x, -0.28, 0.1, 1), pen.one.third, sail)
    else:
        sail = polygon([(-0.4, top + 0.1), (0.3, top), (0.66, 0.12), (-0.3, 0.16)], 0.05)
        pen.body(sail, pen.one.second)
        for y in (-0.5, -0.24, 0.02):
            pen.detail(block(0, y, 1, 0.035, turn=-0.06), pen.one.third, sail)
    _pennant(pen, mast, min(-0.86, top - 0.06))


def _pennant(pen: Pen, x: float, y: float) -> None:
    kind = pen.one["worn"]
    if kind == "lifebuoy":
        return
    pen.detail(block(x, y + 0.2, 0.035, 0.25), WOOD)
    if kind == "flag":
        pen.body(block(x - 0.17, y + 0.06, 0.18, 0.12), pen.one.third)
    elif kind == "pennant":
        pen.body(polygon([(x, y - 0.04), (x, y + 0.18), (x - 0.42, y + 0.07)], 0.02), pen.one.third)
    else:
        pen.body(disc(x, y + 0.02, 0.12), GOLD)


def _portholes(pen: Pen) -> None:
    kind = pen.one["eyes"]
    if kind == "star":
        pen.canvas.paint(star(0.0, 0.48, 0.2), pen.one.third, outline=0.03)
        return
    light = LAMP if pen.pose.blink else GLASS
    for x in (-0.22, 0.1, 0.42):
        shape = disc(x, 0.48, 0.1) if kind == "portholes" else block(x, 0.47, 0.11, 0.09, 0.02)
        pen.canvas.paint(shape, light, outline=0.045)


def rocket(pen: Pen) -> None:
    style = pen.one["ears"]
    wide = {"slim": 0.27, "round": 0.42, "bullet": 0.34, "twin": 0.3}[style] + 0.03 * pen.one.build[0]
    trunk = ellipse(0, -0.06, wide, 0.78) & block(0, 0, 1, 0.56)
    if style in ("bullet", "twin"):
        trunk = block(0, 0.1, wide, 0.46, 0.08) | ellipse(0, -0.3, wide, 0.46)
    _flame(pen, wide)
    _rocket_fins(pen, wide)
    if style == "twin":
        pen.body(block(wide + 0.16, 0.24, 0.14, 0.36, 0.12).both_sides(), pen.one.second)
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
    pen.detail(polygon([(-0.7 * wide, 0.5), (0.7 * wide, 0.5), (0.0, reach)], 0.05), (1.0, 0.5, 0.12))
    pen.detail(polygon([(-0.35 * wide, 0.5), (0.35 * wide, 0.5), (0.0, reach - 0.14)], 0.03), (1.0, 0.88, 0.3))


def _rocket_fins(pen: Pen, wide: float) -> None:
    kind = pen.one["worn"]
    if kind == "swept":
        fin = polygon([(0.6 * wide, 0.1), (0.76, 0.5), (0.72, 0.8), (0.6 * wide, 0.5)], 0.04)
    elif kind == "round":
        fin = ellipse(wide + 0.06, 0.44, 0.28, 0.26)
    elif kind == "square":
        fin = block(wide + 0.1, 0.42, 0.26, 0.2, 0.03)
    else:
        fin = polygon([(0.6 * wide, 0.2), (0.66, 0.42), (0.66, 0.66), (0.6 * wide, 0.5)], 0.03) | polygon(
            [(0.7 * wide, -0.32), (0.6, -0.1), (0.6, 0.06), (0.7 * wide, 0.0)], 0.03
        )
    pen.body(fin.both_sides(), pen.one.third)


def _rocket_pattern(pen: Pen, trunk: Shape, wide: float) -> None:
    kind = pen.one["pattern"]
    if kind == "bands":
        for y in (0.12, 0.42):
            pen.marking(block(0, y, 1, 0.085), trunk)
    elif kind == "checks":
        for x, y in ((-0.5, 0.2), (0.5, 0.44)):
            pen.marking(block(x * wide, y, 0.5 * wide, 0.12), trunk)
    elif kind == "spiral":
        for y in (-0.1, 0.26, 0.58):
            pen.marking(block(0, y, 1, 0.085, turn=-0.5), trunk)
    elif kind == "half":
        pen.marking(block(0.5, 0, 0.5, 1), trunk)
    elif kind == "stripe":
        pen.marking(block(0, 0, 0.12, 1), trunk)
    else:
        pen.marking(block(0, 0.5, 1, 0.1), trunk)


def _rocket_windows(pen: Pen, wide: float) -> None:
    kind = pen.one["eyes"]
    light = LAMP if pen.pose.blink else GLASS
    if kind == "one":
        shapes = [disc(0, -0.16, 0.17)]
    elif kind == "two":
        shapes = [disc(0, -0.22, 0.12), disc(0, 0.14, 0.12)]
    elif kind == "square":
        shapes = [block(0, -0.14, 0.16, 0.15, 0.03)]
    else:
        shapes = [block(0, -0.18, 0.75 * wide, 0.1, 0.08)]
    for shape in shapes:
        pen.canvas.paint(shape, light, outline=0.06)


def teapot(pen: Pen) -> None:
    """A teapot with its spout to the left."""
    pots: dict[str, Shape] = {
        "round": ellipse(0.0, 0.2, 0.54, 0.48),
        "tall": ellipse(0.0, 0.36, 0.46, 0.4) | block(0, 0.06, 0.36, 0.42, 0.16),
        "square": block(0, 0.2, 0.5, 0.44, 0.14),
        "wide": ellipse(0.0, 0.3, 0.57, 0.38),
    }
    pot = pots[pen.one["ears"]]
    wide, top = pot.box[2], pot.box[1]
    _handle(pen, wide)
    _spout(pen, wide)
    pen.body(block(0, 0.68, 0.32, 0.08, 0.04), pen.one.third)
    pen.body(pot, pen.one.body)
    _glaze(pen, pot)
    _lid(pen, top)
    pen.detail(ellipse(-0.6 * wide, 0.02, 0.06, 0.13, 0.5), lighter(pen.one.body, 0.6), pot)


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
    if kind == "dots":
        dots(pen, pot, [(-0.34, 0.06), (0.0, 0.02), (0.34, 0.06), (-0.18, 0.34), (0.2, 0.34)], 0.1)
    elif kind == "band":
        pen.marking(block(0, 0.22, 1, 0.13), pot)
    elif kind == "half":
        pen.marking(block(0, 0.5, 1, 0.24), pot)
    elif kind == "zigzag":
        points = [(-0.7 + 0.2 * k, 0.12 + (0.24 if k % 2 else 0.0)) for k in range(8)]
        pen.detail(stroke(points, 0.06), pen.one.second, pot)
    elif kind == "flower":
        for u, v in ((0.0, -0.17), (0.16, -0.05), (0.1, 0.14), (-0.1, 0.14), (-0.16, -0.05)):
            pen.marking(disc(u, 0.24 + v, 0.12), pot)
        pen.detail(disc(0, 0.24, 0.1), pen.one.third)
    elif kind == "heart":
        heart = (
            disc(-0.12, 0.16, 0.14) | disc(0.12, 0.16, 0.14) | polygon([(-0.24, 0.22), (0.24, 0.22), (0, 0.5)], 0.01)
        )
        pen.marking(heart, pot)


def _lid(pen: Pen, top: float) -> None:
    kind = pen.one["worn"]
    if kind == "cosy":
        cosy = ellipse(0, top + 0.26, 0.46, 0.44) & block(0, top - 0.1, 1, 0.36)
        pen.body(cosy, pen.one.third)
        for x in (-0.24, 0.0, 0.24):
            pen.detail(block(x, top, 0.045, 0.6), lighter(pen.one.third, 0.55), cosy)
        pen.body(disc(0, top - 0.2, 0.12), lighter(pen.one.third, 0.55))
        return
    high = 0.3 if kind == "tall lid" else 0.16
    pen.body(ellipse(0, top + 0.1, 0.36, high) & block(0, top - 0.2, 1, 0.32), pen.one.second)
    tip = top + 0.1 - high
    if kind == "ring":
        pen.body(disc(0, tip - 0.08, 0.15) - disc(0, tip - 0.08, 0.065), pen.one.third)
    else:
        pen.body(disc(0, tip - 0.05, 0.12), pen.one.third)

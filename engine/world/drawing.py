"""An individual as a picture with an alpha channel, at any size."""

from __future__ import annotations

from collections.abc import Callable

from engine.world.drawings import animals, faces, things
from engine.world.drawings.parts import Pen, Pose
from engine.world.individuals import Individual
from engine.world.shapes import Array, Canvas

_DRAWINGS: dict[str, Callable[[Pen], None]] = {
    "dog": faces.dog,
    "cat": faces.cat,
    "bear": faces.bear,
    "rabbit": faces.rabbit,
    "frog": faces.frog,
    "bird": animals.bird,
    "fish": animals.fish,
    "snail": animals.snail,
    "robot": things.robot,
    "car": things.car,
    "boat": things.boat,
    "rocket": things.rocket,
    "teapot": things.teapot,
}

UPRIGHT = Pose()
_EXTENT = 1.1
"""Half the side of a picture in the drawings' units: outlines at the edge of -1 to 1 still have room."""


def draw(one: Individual, size: int, pose: Pose = UPRIGHT) -> Array:
    """The individual on a transparent square of that side: premultiplied RGBA in [0, 1], `(size, size, 4)`.

    Each pixel is about what an ideal camera would average over it.
    """
    canvas = Canvas(size, _EXTENT)
    _DRAWINGS[one.class_word](Pen(canvas, one, pose))
    return canvas.pixels

"""The individuals of the world: a class word and a vector of parameters, colours continuous and forms discrete.

Which individuals pretraining never sees is decided by their parameters: for each class and each colour word of the
body there are two centres in the space of body and second colours, one for figures and one for choosing settings.
Individuals near a centre are held out; those around them, out to twice as far, belong to no split at all, so
that a train individual never comes near a held-out one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from engine.world import colours
from engine.world.shapes import Colour

_WORN = ("collar", "bow tie", "top hat", "beanie", "crown")
_PATTERNS = ("plain", "patch", "spots", "mask", "half")
_EYES = ("round", "dots", "large")
_MUZZLES = ("white", "second", "bare")

FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "dog": {
        "ears": ("hanging", "pointed", "odd"),
        "eyes": _EYES,
        "muzzle": _MUZZLES,
        "pattern": _PATTERNS,
        "worn": _WORN,
    },
    "cat": {
        "ears": ("tall", "wide", "folded"),
        "eyes": _EYES,
        "muzzle": _MUZZLES,
        "pattern": _PATTERNS,
        "worn": _WORN,
    },
    "bear": {
        "ears": ("small", "large", "odd"),
        "eyes": _EYES,
        "muzzle": _MUZZLES,
        "pattern": _PATTERNS,
        "worn": _WORN,
    },
    "rabbit": {
        "ears": ("straight", "spread", "lop"),
        "eyes": _EYES,
        "muzzle": _MUZZLES,
        "pattern": _PATTERNS,
        "worn": _WORN,
    },
    "frog": {
        "ears": ("high", "wide", "large"),
        "eyes": _EYES,
        "muzzle": ("smile", "open", "tongue"),
        "pattern": ("plain", "spots", "mask", "chin"),
        "worn": _WORN,
    },
    "bird": {
        "ears": ("plain", "crest", "plume"),
        "eyes": _EYES,
        "muzzle": ("short", "long", "broad"),
        "pattern": ("plain", "breast", "mask", "back"),
        "worn": _WORN,
    },
    "fish": {
        "ears": ("sail", "round", "low"),
        "eyes": _EYES,
        "muzzle": ("smile", "lips", "beak"),
        "pattern": ("plain", "spots", "mask", "belly", "band"),
        "worn": ("fork", "fan", "round", "long"),
    },
    "robot": {
        "ears": ("antenna", "dome", "dish"),
        "eyes": ("round", "visor", "one"),
        "muzzle": ("teeth", "smile", "line"),
        "pattern": ("plain", "half", "band", "chest", "cheeks"),
        "worn": ("knobs", "plugs", "cups"),
    },
    "car": {
        "ears": ("sedan", "van", "beetle", "pickup"),
        "eyes": ("plain", "ring"),
        "muzzle": ("chrome", "nose"),
        "pattern": ("plain", "stripe", "two tone", "door"),
        "worn": ("rack", "light", "spoiler"),
    },
    "boat": {
        "ears": ("one sail", "two sails", "square sail", "steamer"),
        "eyes": ("portholes", "star"),
        "muzzle": ("round", "pointed", "flat"),
        "pattern": ("plain", "half", "stripe", "cross"),
        "worn": ("flag", "ball", "lifebuoy"),
    },
    "rocket": {
        "ears": ("slim", "round", "bullet"),
        "eyes": ("one", "two", "square"),
        "muzzle": ("pointed", "ball", "dome"),
        "pattern": ("plain", "bands", "half", "stripe"),
        "worn": ("swept", "round", "square"),
    },
    "teapot": {
        "ears": ("round", "tall", "square"),
        "eyes": ("ring", "loop", "square"),
        "muzzle": ("curved", "straight", "short"),
        "pattern": ("plain", "band", "half", "heart"),
        "worn": ("knob", "cosy", "ring"),
    },
    "snail": {
        "ears": ("spiral", "dome", "cone"),
        "eyes": _EYES,
        "muzzle": ("smile", "open", "straight"),
        "pattern": ("plain", "spots", "half"),
        "worn": _WORN,
    },
}
"""What an individual of each class can look like. The parts are named as in an animal's face; in things they stand
for what is seen first there: `ears` for the outline, `eyes` for windows or wheels, `muzzle` for the front, `worn`
for what sits on it."""

FAR_CLASSES = ("snail",)
"""Held out whole: no individual of theirs is seen in pretraining."""
CLASSES = tuple(word for word in FORMS if word not in FAR_CLASSES)
"""The classes that pretraining knows."""
SPLITS = ("train", "settings", "figures")

_HELD_OUT = ("settings", "figures")
_NEAR, _APART = 0.06, 0.13
"""Distances (`colours.distance`) from a held-out centre: below the first an individual is held out, beyond the
second it can be in pretraining."""
_CONTRAST = 0.18
"""How far an individual's colours look apart at least."""


@dataclass(frozen=True)
class Individual:
    """One of a class: its three colours, its build (two numbers in [-1, 1]: width, size of ears), its form.

    `form` holds a choice for each part of `FORMS[class_word]`, in that order.
    """

    class_word: str
    body: Colour
    second: Colour
    third: Colour
    build: tuple[float, float]
    form: tuple[str, ...]

    def __getitem__(self, part: str) -> str:
        """The form of one part, e.g. `individual["ears"]`."""
        return self.form[list(FORMS[self.class_word]).index(part)]


def individual(class_word: str, seed: int, split: str = "figures") -> Individual:
    """The individual of that seed in that split. Raises `ValueError` for a class or split that there isn't.

    All individuals of a class that is held out whole can be had in every split but "train".
    """
    if class_word not in FORMS or split not in SPLITS or (split == "train" and class_word in FAR_CLASSES):
        raise ValueError(f"no {class_word!r} in {split!r}: classes are {', '.join(FORMS)}, splits {', '.join(SPLITS)}")
    generator = np.random.default_rng([seed, _number(class_word), _number(split)])
    while True:
        if split == "train":
            drawn = _draw(class_word, generator)
        else:
            centres = [centre for centre in _centres(class_word) if centre.split == split]
            drawn = _draw_near(centres[int(generator.integers(len(centres)))], class_word, generator)
        if split_of(drawn) == split:
            return drawn


def individual_named(name: str) -> Individual:
    """The individual of a class, a seed and perhaps a split, as "dog/7" (of figures) or "dog/7/settings".

    Raises `ValueError` for a name that isn't one.
    """
    class_word, *rest = name.split("/")
    if len(rest) not in (1, 2) or not rest[0].isdecimal():
        raise ValueError(f"{name!r} names no individual: name one by its class and seed, as in {next(iter(FORMS))}/7")
    return individual(class_word, int(rest[0]), *rest[1:])


def split_of(one: Individual) -> str | None:
    """The split that the parameters belong to; None for those between a held-out region and the rest.

    In a class that is held out whole nothing is "train": what isn't near a centre is in no split.
    """
    body, second = colours.oklab(one.body), colours.oklab(one.second)
    reaches = {
        centre: max(float(np.linalg.norm(body - centre.body)), float(np.linalg.norm(second - centre.second)))
        for centre in _centres(one.class_word)
    }
    centre, reach = min(reaches.items(), key=lambda item: item[1])
    if reach <= _NEAR:
        return centre.split
    return "train" if reach > _APART and one.class_word not in FAR_CLASSES else None


def colour_word(one: Individual) -> str:
    """The coarse word for the colour of the body."""
    return colours.word_of(one.body)


def siblings(one: Individual, count: int = 63) -> list[Individual]:
    """Others of the class, always the same for the same individual, whatever their split; hard ones first.

    An eighth has its colours in another form, an eighth its form with other colours beside its colour word,
    a quarter its colour word alone; the rest is drawn from the whole class.
    """
    generator = np.random.default_rng([count, zlib.crc32(repr(one).encode())])
    found: list[Individual] = []
    while len(found) < count:
        other = _draw_sibling(one, len(found) / count, generator)
        if _told_apart(one, other):
            found.append(other)
    return found


def _draw_sibling(one: Individual, place: float, generator: np.random.Generator) -> Individual:
    other = _draw(one.class_word, generator, colour_word(one) if place < 0.5 else None)
    if place < 0.125:
        return replace(other, body=one.body, second=one.second, third=one.third)
    return replace(other, form=one.form, build=one.build) if place < 0.25 else other


def _told_apart(one: Individual, other: Individual) -> bool:
    """Whether the two differ at a glance: in three parts of the form, or clearly in a colour beside the body's."""
    parts = sum(a != b for a, b in zip(one.form, other.form, strict=True))
    coloured = max(colours.distance(one.second, other.second), colours.distance(one.third, other.third))
    return parts >= 3 or coloured > 0.15 or colours.distance(one.body, other.body) > 0.15


@dataclass(frozen=True, eq=False)
class _Centre:
    """A held-out place in the space of body and second colours, in Oklab, and the words of the two colours."""

    split: str
    words: tuple[str, str]
    body: np.ndarray
    second: np.ndarray


@cache
def _centres(class_word: str) -> tuple[_Centre, ...]:
    """Two centres for each colour word of the body, one a split that is held out, clear of each other."""
    generator = np.random.default_rng(_number(class_word + " centres"))
    found: list[_Centre] = []
    for body_word in colours.WORDS:
        for split in _HELD_OUT:
            while True:
                second_word = colours.WORDS[int(generator.integers(len(colours.WORDS)))]
                body, second = (colours.draw_colour(word, generator) for word in (body_word, second_word))
                new = _Centre(split, (body_word, second_word), colours.oklab(body), colours.oklab(second))
                if colours.distance(body, second) > _CONTRAST and all(_clear(new, c) for c in found):
                    found.append(new)
                    break
    return tuple(found)


def _clear(one: _Centre, other: _Centre) -> bool:
    apart = (np.linalg.norm(a - b) for a, b in ((one.body, other.body), (one.second, other.second)))
    return float(max(apart)) > _NEAR + _APART


def _draw(class_word: str, generator: np.random.Generator, body_word: str | None = None) -> Individual:
    """Anyone of the class, with three colours that stand out from one another."""
    while True:
        words = generator.choice(colours.WORDS, 3, replace=False).tolist()
        if body_word is not None and body_word in words[1:]:
            continue
        body, second, third = (colours.draw_colour(word, generator) for word in (body_word or words[0], *words[1:]))
        if _contrast(body, second, third):
            return _with_form(class_word, body, second, third, generator)


def _draw_near(centre: _Centre, class_word: str, generator: np.random.Generator) -> Individual:
    """One near a held-out centre."""
    while True:
        body = _colour_near(centre.body, centre.words[0], generator)
        second = _colour_near(centre.second, centre.words[1], generator)
        third = colours.draw_colour(str(generator.choice(colours.WORDS)), generator)
        if _contrast(body, second, third):
            return _with_form(class_word, body, second, third, generator)


def _colour_near(centre: np.ndarray, word: str, generator: np.random.Generator) -> Colour:
    while True:
        colour = colours.draw_colour(word, generator)
        if float(np.linalg.norm(colours.oklab(colour) - centre)) <= _NEAR:
            return colour


def _contrast(body: Colour, second: Colour, third: Colour) -> bool:
    return all(colours.distance(a, b) > _CONTRAST for a, b in ((body, second), (body, third), (second, third)))


def _with_form(
    class_word: str, body: Colour, second: Colour, third: Colour, generator: np.random.Generator
) -> Individual:
    form = tuple(str(generator.choice(choices)) for choices in FORMS[class_word].values())
    width, ears = (float(v) for v in generator.uniform(-1, 1, 2))
    return Individual(class_word, body, second, third, (width, ears), form)


def _number(text: str) -> int:
    """A number that stands for the text in a seed, the same in every process."""
    return zlib.crc32(text.encode())

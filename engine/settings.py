"""Where a setting comes from: the user's option, else what the base recommends, else its default, whose source its
field names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
MOST_SEED = 2**63 - 1
"""Seeds are kept in databases, whose whole numbers end here."""
_MOST_WHOLE, _MOST = 2**31 - 1, 1e30
"""Bounds of settings that name none: numbers that every library takes."""


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A complete config, and for each field the place its value came from: "option", "base", or who says the
    default (see `Origin` in `engine.methods.common`)."""

    config: T
    origins: dict[str, str]

    def values(self) -> dict[str, Any]:
        """The config as plain values."""
        return as_values(self.config)


def as_values(config: DataclassInstance) -> dict[str, Any]:
    """A config dataclass as plain values, tuples as lists, so that JSON gives back what it was given."""
    values = asdict(config)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def resolve(defaults: T, recommended: Mapping[str, object], options: Mapping[str, object]) -> Resolved[T]:
    """Lay `options` over `recommended` over `defaults`. A value of None counts as not given.

    Raises `InputError` for a key that the config does not have, and for a value that it refuses.
    """
    known = {f.name: getattr(defaults, f.name) for f in fields(defaults)}
    origins = {f.name: str(f.metadata["origin"]) for f in fields(defaults)}
    chosen: dict[str, object] = {}
    for origin, layer in (("base", recommended), ("option", options)):
        for name, value in layer.items():
            if name not in known:
                raise InputError(f"unknown setting {name!r} ({origin}); known are: {', '.join(known)}")
            if value is not None:
                chosen[name] = tuple(value) if isinstance(value, list) else value
                origins[name] = origin
    return Resolved(replace(defaults, **chosen), origins)


def check_number(option: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
    """Raise `InputError` for a number that is not finite or out of its range. A whole number needs no upper bound of
    its own, and a fraction none at all, to be within what libraries and files can hold."""
    whole = isinstance(value, int)
    bounded = -_MOST if least is None else least, (_MOST_WHOLE if whole else _MOST) if most is None else most
    if (whole or math.isfinite(value)) and bounded[0] <= value <= bounded[1]:
        return
    low, high = (f"{bound:g}" if isinstance(bound, float) else str(bound) for bound in bounded)
    if least is not None and most is None and not value > bounded[1]:
        raise InputError(f"{option} is {value}: it must be at least {low}")
    raise InputError(f"{option} is {value}: it must be between {low} and {high}")


def check_seed(seed: int, option: str = "`seed`") -> None:
    """Raise `InputError` for a seed below 0 or beyond `MOST_SEED`."""
    check_number(option, seed, least=0, most=MOST_SEED)


def typed(config: type[Any], options: Mapping[str, object]) -> dict[str, object]:
    """Options as a config has them, whole numbers as floats where these are meant: what a file of settings may
    hold, and a command line can't. Raises `InputError` for an option that the config doesn't have, or whose value
    is of another kind than its field."""
    hints = get_type_hints(config)
    for name, value in options.items():
        if name not in hints:
            raise InputError(f"there is no option {name}: there are {', '.join(hints)}")
        if not _fits(value, hints[name]):
            raise InputError(f"{name} is {value!r}: it must be {_told(hints[name])}")
    kinds = {name: (hint, *get_args(hint)) for name, hint in hints.items()}
    return {
        name: float(value) if type(value) is int and float in kinds[name] else value for name, value in options.items()
    }


def _fits(value: object, hint: Any) -> bool:
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        return (
            isinstance(value, list | tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
        )  # fmt: skip
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _told(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return " or ".join(_told(part) for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        return f"{len(get_args(hint))} values in a list, each {_told(get_args(hint)[0])}"
    return words[hint]

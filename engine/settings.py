"""Where a setting comes from: the user's option, else the base's recommendation, else the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Generic, TypeVar

from engine.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A complete config, and for each field the place its value came from: "option", "base" or "paper"."""

    config: T
    origins: dict[str, str]

    def values(self) -> dict[str, Any]:
        """The config as plain values."""
        return as_values(self.config)


def as_values(config: object) -> dict[str, Any]:
    """A config dataclass as plain values, tuples as lists, so that JSON gives back what it was given."""
    values = asdict(config)  # type: ignore[call-overload]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def resolve(defaults: T, recommended: Mapping[str, object], options: Mapping[str, object]) -> Resolved[T]:
    """Lay `options` over `recommended` over `defaults`. A value of None counts as not given.

    Raises `InputError` for a key that the config does not have, and for a value that it refuses.
    """
    known = {f.name: getattr(defaults, f.name) for f in fields(defaults)}  # type: ignore[arg-type]
    origins = dict.fromkeys(known, "paper")
    chosen: dict[str, object] = {}
    for origin, layer in (("base", recommended), ("option", options)):
        for name, value in layer.items():
            if name not in known:
                raise InputError(f"unknown setting {name!r} ({origin}); known are: {', '.join(known)}")
            if value is not None:
                chosen[name] = tuple(value) if isinstance(value, list) else value
                origins[name] = origin
    return Resolved(replace(defaults, **chosen), origins)  # type: ignore[type-var]

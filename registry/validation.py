"""Whether a row can be stored on SQLite and on PostgreSQL: checked for what comes from files, before any of it is
stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

_LARGE = ("seed", "size", "bytes")
"""Columns of 64 bits with a sign. Other whole numbers have 32."""


def check_json(document: object) -> None:
    """Raise ValueError for a document with NaN, infinity or text that isn't Unicode's, or that is nested too deep."""
    try:
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def check_row(row: Mapping[str, object]) -> None:
    """Raise ValueError for a whole number that its column has no room for, a time that isn't ISO, and a NUL in a text.

    Nothing but a seed may be negative.
    """
    for name, value in row.items():
        if isinstance(value, int):
            largest = 2 ** (63 if name in _LARGE else 31) - 1
            least = -largest - 1 if name == "seed" else 0
            if not least <= value <= largest:
                raise ValueError(f"{name} isn't from {least} to {largest}")
        elif isinstance(value, str) and "\0" in value:
            raise ValueError(f"{name} has a NUL")
        elif isinstance(value, str) and name.endswith("_at"):
            _check_moment(name, value)


def _check_moment(name: str, text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} is no ISO time: {text!r}") from None

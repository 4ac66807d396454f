"""Ages and sizes as people write them on a command line: `30d`, `5GB`."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(m|h|d|w|min|hours?|days?|weeks?)", re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*(|bytes|b|kb|mb|gb|tb)", re.IGNORECASE)
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def age_from_text(text: str | timedelta) -> timedelta:
    """`90m`, `12h`, `30d` or `2w`. Raises typer.BadParameter for anything else."""
    if isinstance(text, timedelta):
        return text
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no age: write minutes, hours, days or weeks, as in 90m, 12h, 30d, 2w.")
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2][0].lower()])


def bytes_from_text(text: str | int) -> int:
    """`5GB`, `300 MB` or `1000`, in decimal units. Raises typer.BadParameter for anything else."""
    if isinstance(text, int):
        return text
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no size: write bytes, kB, MB, GB or TB, as in 500MB.")
    return int(float(found[1]) * _BYTES[found[2][:1].lower()])

"""Numbers as people say them: bytes, durations, ages, sizes."""

from __future__ import annotations

from datetime import UTC, datetime


def bytes_text(count: int) -> str:
    """`1.2 GB`: decimal units, as disks and file managers count."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{int(size)} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration_text(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`: as exact as a forecast can be."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def age_text(moment: str, now: datetime | None = None) -> str:
    """How long ago an ISO time in UTC was: `just now`, `5 minutes ago`, `3 days ago`."""
    seconds = ((now or datetime.now(UTC)) - _moment(moment)).total_seconds()
    for unit, length in (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600)):
        if seconds >= length:
            return _ago(int(seconds // length), unit)
    return _ago(int(seconds // 60), "minute") if seconds >= 60 else "just now"


def duration_between(start: str, end: str) -> str:
    """The time from one ISO moment to another."""
    return duration_text((_moment(end) - _moment(start)).total_seconds())


def _moment(text: str) -> datetime:
    """An ISO time; one without a zone is in UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ago(count: int, unit: str) -> str:
    return f"{count} {unit} ago" if count == 1 else f"{count} {unit}s ago"


def size_text(size: object) -> str:
    """`256x256` for a (width, height), whatever pair it comes as."""
    if isinstance(size, list | tuple) and len(size) == 2:
        return f"{size[0]}x{size[1]}"
    return str(size)


def size_from_text(text: str) -> tuple[int, int]:
    """`320x256` is 320 wide and 256 high; one number is a square. Raises ValueError for anything else."""
    width, cross, height = text.lower().partition("x")
    if not all(part.isascii() and part.isdigit() for part in (width, height if cross else width)):
        raise ValueError(f"{text!r} is not a size: write WIDTHxHEIGHT, as in 320x256, or one number.")
    return int(width), int(height if cross else width)


def value_text(value: object) -> str:
    """A setting's value as its option would be written."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        whole = all(isinstance(part, int) for part in value)
        return size_text(value) if whole else ", ".join(value_text(part) for part in value)
    return str(value)


def count_text(count: int, thing: str) -> str:
    """`1 image`, `5 images`, `3,000 steps`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def option_name(field: str) -> str:
    """The option that sets a config's field: `token_steps` is `--token-steps`."""
    return "--" + field.replace("_", "-")

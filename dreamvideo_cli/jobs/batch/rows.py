"""Rows of a batch as requests: every field of a request and every setting is a column."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dreamvideo_cli.jobs.batch.files import Row
from dreamvideo_cli.jobs.composing import ComposeRequest
from dreamvideo_cli.jobs.kinds import Device, Dtype
from dreamvideo_cli.jobs.targets import slug
from dreamvideo_cli.wording import size_from_text, size_text
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig
from engine.prompts import PLACEHOLDER

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_KINDS = {int: "a whole number", float: "a number", bool: "yes or no"}


def request_of(row: Row, folder: Path) -> ComposeRequest:
    """What a row asks for. A video that isn't given an `output` goes into `folder`, by the row's number and prompt.

    Raises `InputError` for a column that there isn't, and a value that it doesn't take.
    """
    columns = _columns()
    for name in row.values:
        if name not in columns:
            close = get_close_matches(name, columns, 1)
            hint = f"did you mean {close[0]}?" if close else f"columns are: {', '.join(columns)}"
            raise InputError(f"there is no column {name}: {hint}")
    written = _filled_in(row)
    if not str(written.get("prompt", "")).strip():
        raise InputError("the prompt is missing")
    values: dict[str, Any] = {name: _value(name, value, columns[name]) for name, value in written.items()}
    own = {name: value for name, value in values.items() if name in _request_columns()}
    settings = {name: value for name, value in values.items() if name not in own}
    if "output" not in own:
        words = str(own["prompt"]).replace(PLACEHOLDER, str(own.get("subject", "")).partition("@")[0])
        own["output"] = folder / f"{row.number:03}-{slug(words)}.mp4"
    return ComposeRequest(**own, settings=settings)


@cache
def _columns() -> Mapping[str, Any]:
    """The type of each column, by name."""
    return {**_request_columns(), **get_type_hints(ComposeConfig)}


@cache
def _request_columns() -> Mapping[str, Any]:
    hints = get_type_hints(ComposeRequest)
    return {**{name: hint for name, hint in hints.items() if name != "settings"}, "device": Device, "dtype": Dtype}


def _filled_in(row: Row) -> dict[str, object]:
    """The values with `{row}`, `{subject}` and `{motion}` in paths filled in."""
    written = dict(row.values)
    places = {
        "{row}": f"{row.number:03}",
        "{subject}": str(written.get("subject", "")),
        "{motion}": str(written.get("motion", "")),
    }
    for name in ("output", "contact_sheet"):
        for place, text in places.items():
            if isinstance(path := written.get(name), str):
                written[name] = path.replace(place, text)
    return written


def _value(name: str, value: object, hint: Any) -> object:
    """A value as its field has it. In a CSV file every value is a text."""
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        hint = next(part for part in get_args(hint) if part is not type(None))
    if hint in (str, Path):
        return hint(_text(name, value))
    if hint is bool:
        return _flag(name, value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise InputError(f"`{name}` is {value!r}: it must be one of {', '.join(map(str, get_args(hint)))}")
        return value
    if get_origin(hint) is tuple:
        return _size(name, value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"`{name}` is {value!r}: it must be {_KINDS[hint]}")
    try:
        if hint is int and isinstance(value, float):
            raise ValueError
        return hint(value)
    except (ValueError, OverflowError):
        raise InputError(f"`{name}` is {value!r}: it must be {_KINDS[hint]}") from None


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"`{name}` is {value!r}: write a text or a number")
    text = str(value)
    if "\0" in text:
        raise InputError(f"`{name}` has a zero byte in it: {text!r}")
    return text


def _flag(name: str, value: object) -> bool:
    text = str(value).lower()
    if text not in (*_YES, *_NO):
        raise InputError(f"`{name}` is {value!r}: write yes or no")
    return text in _YES


def _size(name: str, value: object) -> tuple[int, int]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(part) is int for part in value):
        value = size_text(value)
    try:
        return size_from_text(str(value))
    except ValueError as error:
        raise InputError(f"`{name}` is {value!r}: {error}") from None

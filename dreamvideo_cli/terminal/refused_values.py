"""Why an option's value is refused, in words of ours: typer gives the ones of the library that checked it."""

from __future__ import annotations

from typing import Any

_WORDS = {
    "int_parsing": "{input!r} is not a whole number.",
    "float_parsing": "{input!r} is not a number.",
    "greater_than_equal": "{input} is too small: it must be at least {ge}.",
    "less_than_equal": "{input} is too large: it must be at most {le}.",
}
"""By pydantic's names of what is wrong."""


def reason(error: Any) -> str:
    """What is wrong with a value that typer refused, from its `BadParameter`."""
    checked: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if checked and checked[0]["type"] in _WORDS:
        first = checked[0]
        return _WORDS[first["type"]].format(**{"input": str(first["input"]).strip(), **first.get("ctx", {})})
    return str(error.message).removeprefix("Value error, ")

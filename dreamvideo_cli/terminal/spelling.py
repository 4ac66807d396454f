"""Settings by the names that they have at the terminal: errors name them by field, in backticks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

_FIELD = re.compile(r"`([a-z][a-z0-9_]*(?:=False)?)`")
_options: ContextVar[Mapping[str, str] | None] = ContextVar("options", default=None)


def name_options_of(parameters: Sequence[Any]) -> None:
    """From now on, fields are the parameters of this command."""
    _options.set(spellings(parameters))


def spellings(parameters: Sequence[Any]) -> dict[str, str]:
    """How each parameter of a command is written: `--token-steps`, or `PROMPT` for an argument; by its field's name
    and by its option's, which may be shorter (`class_word` is `--class`). A flag that is off is `field=False`."""
    found: dict[str, str] = {}
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            found[parameter.name] = parameter.metavar or parameter.name.upper()
            continue
        option = max(parameter.opts, key=len)
        found |= {option.removeprefix("--").replace("-", "_"): option, parameter.name: option}
        if parameter.secondary_opts:
            found[f"{parameter.name}=False"] = parameter.secondary_opts[0]
    return found


def with_options(text: str) -> str:
    """`text` with the options of the command that runs in place of its fields: "`token_steps` is 0" becomes
    "--token-steps is 0". What is no field of it, as a column of a batch, stays in its backticks."""
    options = _options.get() or {}
    return _FIELD.sub(lambda found: options.get(found[1], found[0]), text)

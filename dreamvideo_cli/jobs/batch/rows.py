"""Rows of a batch as wishes: read by the parser of `dv compose`, so that every option of it is a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from dreamvideo_cli.commands.compose import compose
from dreamvideo_cli.jobs.batch.files import Row
from dreamvideo_cli.jobs.composing import Wish
from dreamvideo_cli.jobs.targets import slug
from dreamvideo_cli.wording import size_text
from engine.errors import InputError
from engine.methods.dreamvideo import ComposeConfig
from engine.prompts import PLACEHOLDER

_OWN = tuple(field.name for field in fields(Wish) if field.name != "options")
_SETTINGS = tuple(field.name for field in fields(ComposeConfig))
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


def wish_of(row: Row, folder: Path) -> Wish:
    """What a row asks for. A video that isn't given an `output` goes into `folder`, by the row's number and prompt.

    Raises `InputError` for a column that is no option of compose's, and a value that it doesn't take.
    """
    options = _options()
    for name in row.values:
        if name not in options:
            close = get_close_matches(name, options, 1)
            hint = f"did you mean {close[0]}?" if close else f"columns are: {', '.join(options)}"
            raise InputError(f"there is no column {name}: {hint}")
    if not str(row.values.get("prompt", "")).strip():
        raise InputError("the prompt is missing")
    written = _written(row)
    arguments = [part for name, text in written.items() if name != "prompt" for part in _argument(options[name], text)]
    try:
        context = _parser().make_context("compose", [*arguments, "--", written["prompt"]])
    except TyperException as error:
        raise InputError(error.format_message()) from error
    return _wish(context.params, row, folder)


@cache
def _parser() -> Any:
    app = typer.Typer(add_completion=False)
    app.command("compose")(compose)
    return get_command(app)


@cache
def _options() -> dict[str, Any]:
    """Compose's parameters that say what to make, by name: the columns that there are."""
    return {parameter.name: parameter for parameter in _parser().params if parameter.name in (*_OWN, *_SETTINGS)}


def _written(row: Row) -> dict[str, str]:
    """The values as a command line would hold them, `{row}`, `{subject}` and `{motion}` in paths filled in."""
    written = {name: _text(name, value) for name, value in row.values.items()}
    places = {
        "{row}": f"{row.number:03}",
        "{subject}": written.get("subject", ""),
        "{motion}": written.get("motion", ""),
    }
    for name in ("output", "contact_sheet"):
        for place, text in places.items():
            if name in written:
                written[name] = written[name].replace(place, text)
    return written


def _text(name: str, value: object) -> str:
    if isinstance(value, list) and len(value) == 2 and all(type(part) is int for part in value):
        return size_text(value)
    if isinstance(value, bool):
        return _YES[0] if value else _NO[0]
    if not isinstance(value, str | int | float):
        raise InputError(f"{name} is {value!r}: write a text or a number")
    text = str(value)
    if "\0" in text:
        raise InputError(f"{name} has a zero byte in it: {text!r}")
    return text


def _argument(option: Any, text: str) -> Sequence[str]:
    """One option as a command line has it. `=` keeps a value apart that looks like an option."""
    if not option.is_flag:
        return (f"{option.opts[0]}={text}",)
    if text.lower() in _YES:
        return (option.opts[0],)
    if text.lower() in _NO:
        return tuple(option.secondary_opts[:1])
    raise InputError(f"{option.name} is {text!r}: write yes or no")


def _wish(values: dict[str, Any], row: Row, folder: Path) -> Wish:
    own = {name: values[name] for name in _OWN}
    own["seed"] = own["seed"] or 0
    options = {name: values[name] for name in _SETTINGS if values[name] is not None}
    if own["output"] is None:
        subject = (own["subject"] or "").partition("@")[0]
        own["output"] = folder / f"{row.number:03}-{slug(own['prompt'].replace(PLACEHOLDER, subject))}.mp4"
    return Wish(**own, options=options)

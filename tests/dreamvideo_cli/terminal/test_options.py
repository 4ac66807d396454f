"""Options made from a config's fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import typer

from dreamvideo_cli.terminal.options import options_of, size_of
from dreamvideo_cli.wording import option_name
from engine.methods.dreamvideo import ComposeConfig, MotionConfig, SubjectConfig


def parsed(config: type[Any], *arguments: str) -> tuple[str, dict[str, Any]]:
    """What a command with one argument and a config's options gets from a command line."""
    app = typer.Typer(add_completion=False)
    got: list[tuple[str, dict[str, Any]]] = []

    @app.command()
    @options_of(config, panel="Settings")
    def command(name: str, **options: Any) -> None:
        got.append((name, options))

    app([*arguments, "x"], standalone_mode=False)
    return got[0]


@pytest.mark.parametrize("config", [SubjectConfig, MotionConfig, ComposeConfig])
def test_every_field_is_an_option_and_none_is_passed_on_unasked(config: type[Any]) -> None:
    assert parsed(config) == ("x", {})
    for field in fields(config):
        own = field.default if isinstance(field.default, str) else ""  # one of a few words, perhaps
        value = {bool: "", tuple: "32x16"}.get(type(field.default), own or "1")
        (name, got) = parsed(config, option_name(field.name), *([value] if value else []))
        assert (name, list(got)) == ("x", [field.name])


def test_values_have_their_fields_types() -> None:
    _, got = parsed(ComposeConfig, "--steps", "7", "--size", "32x16", "--fps", "7.5", "--negative-prompt", "")
    assert got == {"steps": 7, "size": (32, 16), "fps": 7.5, "negative_prompt": ""}


def test_a_flag_goes_both_ways() -> None:
    assert parsed(SubjectConfig, "--no-use-masks")[1] == {"use_masks": False}
    assert parsed(SubjectConfig, "--use-masks")[1] == {"use_masks": True}


@pytest.mark.parametrize(("text", "size"), [("64", (64, 64)), ("64x32", (64, 32)), ("64X32", (64, 32))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "x", "64x", "x64", "64x64x3", "-64", "6e1", "٦٤", "64 x 64", "1.5"])
def test_what_is_no_size_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="WIDTHxHEIGHT"):
        size_of(text)

"""An option's value that can't be is refused in words for people."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compose", "x", "--sampler", "nosuch"), "'nosuch' is not one of 'ddim', 'dpm-solver++', 'unipc', 'euler'."),
        (("list", "--kind", "cat"), "'cat' is not one of 'subject', 'motion'."),
        (("compose", "x", "--seed", "3.5"), "'3.5' is not a whole number."),
        (("compose", "x", "--guidance-scale", "much"), "'much' is not a number."),
        (("list", "--limit", "0"), "0 is too small: it must be at least 1."),
        (("list", "--limit", "9" * 20), f"{'9' * 20} is too large: it must be at most 2147483647."),
        (("compose", "x", "--size", "3x"), "'3x' is not a size: write WIDTHxHEIGHT"),
        (("base", "list", "--nonsense"), "No such option: --nonsense"),
    ],
)
def test_what_is_wrong_is_told_without_a_librarys_words(dv: Any, arguments: tuple[str, ...], said: str) -> None:
    done = dv(*arguments)
    shown = " ".join(done.err.replace("│", " ").split())
    assert (done.code, done.out) == (2, "")
    assert said in shown
    assert "Value error" not in shown and "Input should" not in shown

"""The subject's place in a prompt, and names that are also words."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.bases.location import EMBEDDED, inspect_base
from engine.errors import InputError
from engine.planning import plan_subject
from engine.prompts import place_subject, with_class_word

COMPOSED, APART = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("prompt", "subject", "placed"),
    [
        ("a * chases another dog", "dog", "a * chases another dog"),
        ("a dog chases another * dog", "dog", "a dog chases another * dog"),
        ("a dog runs", "dog", "a * runs"),
        ("a Dog runs", "dog", "a * runs"),
        ("a dogma", "dog", None),
        ("two dogs", "dog", None),
        (f"a {APART} at night", COMPOSED, "a * at night"),
        (f"a {COMPOSED} at night", APART, "a * at night"),
        (f"a {APART[:-1]} at night", COMPOSED, None),
        ("a * in front of a sks dog", "rex", "a * in front of a sks dog"),
    ],
)
def test_once_a_star_is_written_names_are_words(prompt: str, subject: str, placed: str | None) -> None:
    def place() -> str:
        return place_subject(prompt, subject=subject, class_word="dog", identifier="sks")

    if placed is None:
        with pytest.raises(InputError, match="has no place for"):
            place()
    else:
        assert place() == placed


@pytest.mark.parametrize(
    ("prompt", "judged"),
    [
        ("a * chases another rex", "a cat chases another rex"),
        ("a rex runs", "a cat runs"),
        ("a Rex", "a cat"),
        ("nobody", "nobody"),
    ],
)
def test_judges_read_the_class_word_at_the_same_places(prompt: str, judged: str) -> None:
    assert with_class_word(prompt, subject="rex", class_word="cat") == judged


def test_class_words_are_words_not_patterns() -> None:
    assert with_class_word("a rex", subject="rex", class_word=r"\1 \g<0>") == r"a \1 \g<0>"


@pytest.mark.parametrize("word", ["*", "a *", " * "])
def test_the_star_is_no_class_word(tmp_path: Path, word: str) -> None:
    """It would be learnt, and never composed."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match="stands for the subject itself"):
        plan_subject([tmp_path], word, info=inspect_base(EMBEDDED), options={})

"""What may be a name."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import AdapterSpec, InvalidNameError, check_name, check_new_name


@pytest.mark.parametrize("name", ["a", "7", "dog2", "playing-guitar", "a_b.c-1", "собака", "犬", "नमस्ते", "x" * 64])
def test_good_names_stay_as_they_are(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a..b",
        "../a",
        "a/b",
        "a\\b",
        "a@1",
        "-a",
        "_a",
        ".a",
        "a b",
        "a\n",
        "a\0",
        "x" * 65,
        "/etc",
        "\u0301a",
        "a\u200b",
        "\udcff",
        "a*",
        "🐶",
        "²",
    ],
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_name(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["CON", "nul", "aux.v2", "Com1", "lpt9.", "dog."])
def test_what_is_no_folder_on_windows_is_no_new_name(name: str) -> None:
    assert check_name(name) == name
    with pytest.raises(InvalidNameError, match="Windows"):
        check_new_name(name)


@pytest.mark.parametrize("name", ["console", "null", "com", "com10", "aux-2", "e\u0301"])
def test_what_only_looks_like_it_is_one(name: str) -> None:
    assert check_new_name(name) == check_name(name)


def test_two_ways_of_writing_an_accent_are_one_name() -> None:
    assert check_name("cafe\u0301") == check_name("caf\u00e9") == "caf\u00e9"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.text(alphabet="aé犬𐌰.-_7@/\u0301\u094d", max_size=80)))
def test_whatever_is_let_through_is_one_folder_of_its_own(text: str) -> None:
    try:
        name = check_name(text)
    except InvalidNameError:
        return
    assert check_name(name) == name == unicodedata.normalize("NFC", text)
    assert AdapterSpec.parse(f"{name}@12") == AdapterSpec(name, 12)
    with TemporaryDirectory() as root:
        (Path(root) / name).mkdir()
        assert [unicodedata.normalize("NFC", entry.name) for entry in Path(root).iterdir()] == [name]


def test_a_spec_is_a_name_and_perhaps_a_version() -> None:
    assert AdapterSpec.parse("chowchow") == AdapterSpec("chowchow", None)
    assert AdapterSpec.parse("chowchow@2") == AdapterSpec("chowchow", 2)
    assert str(AdapterSpec.parse("chowchow@2")) == "chowchow@2"


@pytest.mark.parametrize("text", ["a@", "a@0", "a@-1", "a@1.5", "a@two", "a@01", "a@1@2", "a@²", "@1", "a@" + "9" * 30])
def test_a_spec_without_a_proper_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidNameError):
        AdapterSpec.parse(text)

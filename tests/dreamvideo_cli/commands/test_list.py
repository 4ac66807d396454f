"""`dv list`: what it filters, sorts, shows and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from registry import Adapter

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_list_filters_sorts_and_shows_tags(checked: Dv, publish: Publish) -> None:
    publish("dog", steps=5), publish("run", kind="motion", steps=9), publish("cat", steps=7)
    assert checked("tag", "cat", "film", "best").out == "best\nfilm\n"
    assert checked("list", "--names", "--sort", "steps").out == "dog@1\ncat@1\nrun@1\n"
    assert checked("list", "--names", "--tag", "film").out == "cat@1\n"
    assert checked("list", "--names", "--name", "?o*").out == "dog@1\n"
    assert checked("list", "--names", "--limit", "1", "--reverse").out == "cat@1\n"
    assert "best, film" in checked("list").out
    assert "Tags" not in checked("list", "--kind", "motion").out
    rows = json.loads(checked("list", "--json").out)
    assert [(row["id"], row["tags"]) for row in rows] == [("dog@1", []), ("run@1", []), ("cat@1", ["best", "film"])]
    none = checked("list", "--tag", "none")
    assert (none.out, none.err) == ("", "No adapter is like that. See all with: dv list\n")
    checked("list", "--sort", "beauty", check=2)


BYTES_THAT_ARE_NO_TEXT = "\udcff"
"""As Python gives what the command line brings."""


@pytest.mark.parametrize("option", ["--name", "--base", "--method", "--tag"])
def test_list_refuses_what_is_no_text(checked: Dv, publish: Publish, option: str) -> None:
    publish("dog")
    assert checked("list", option, BYTES_THAT_ARE_NO_TEXT, check=2).err.startswith(f"error: {option} is not text")


@pytest.mark.parametrize("command", ["list", "history", "runs"])
def test_a_limit_beyond_all_numbers_is_refused(checked: Dv, publish: Publish, command: str) -> None:
    publish("dog")
    assert "--limit" in checked(command, "--limit", "9" * 23, check=2).err
    checked(command, "--limit", 2**31 - 1)


def test_a_home_of_nobody_says_what_to_set(checked: Dv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DV_HOME", "~nobody-of-this-name")
    for command in ("list", "history", "doctor"):
        assert "DV_HOME is ~nobody-of-this-name" in checked(command, check=2).err

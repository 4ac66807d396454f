"""`dv tag` and `dv note`: labels, and where they show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from registry import Adapter

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_labels_show(checked: Dv, publish: Publish) -> None:
    publish("dog")
    assert checked("note", "dog").out == ""
    assert checked("note", "dog", "sharp ears").out == "sharp ears\n"
    assert checked("tag", "dog@1", "best", "film", "--remove").out == ""
    assert json.loads(checked("tag", "dog", "best", "--json").out) == {
        "id": "dog@1", "tags": ["best"], "note": "sharp ears",
    }  # fmt: skip
    shown = checked("show", "dog").out
    assert "Tags" in shown and "sharp ears" in shown
    assert json.loads(checked("show", "dog", "--json").out)["tags"] == ["best"]
    assert checked("note", "dog", "").out == ""
    assert checked("tag", "dog").out == "best\n"
    assert "can't be a tag" in checked("tag", "dog", "two words", check=2).err
    assert "--remove needs" in checked("tag", "dog", "--remove", check=2).err
    assert "nobody" in checked("note", "nobody", "x", check=2).err

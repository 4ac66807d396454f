"""`dv rename`: all versions under another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from registry import Adapter

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_rename_prints_the_new_ids(checked: Dv, publish: Publish) -> None:
    publish("dog"), publish("dog"), publish("cat")
    assert checked("rename", "dog", "rex").out == "rex@1\nrex@2\n"
    assert checked("list", "--names").out.split() == ["rex@1", "rex@2", "cat@1"]
    assert "already" in checked("rename", "rex", "cat", check=2).err
    assert "leave out the @" in checked("rename", "rex@1", "max", check=2).err
    assert "'dog'" in checked("rename", "dog", "max", check=2).err

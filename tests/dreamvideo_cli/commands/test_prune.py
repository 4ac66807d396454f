"""`dv prune`: what it shows, asks, frees and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from registry import Adapter, Registry

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_nothing_is_older_than_all_time(checked: Dv, publish: Publish) -> None:
    publish("dog"), publish("dog")
    assert checked("prune", "--versions", "--older-than", "999999d", "--yes").err == "There is nothing to prune.\n"


def test_prune_shows_then_asks_then_frees(checked: Dv, publish: Publish, registry: Registry) -> None:
    publish("dog"), publish("dog"), publish("dog")
    shown = checked("prune", "--versions", "--keep", "2", "--dry-run")
    assert shown.out == "dog@1\n"
    assert "1 thing would be removed" in shown.err
    assert len(registry.adapters()) == 3
    for flags in ((), ("--json",)):
        refused = checked("prune", "--versions", *flags, check=2)
        assert "add --yes" in refused.err and refused.out == ""
    assert len(registry.adapters()) == 3
    done = json.loads(checked("prune", "--versions", "--older-than", "1h", "--yes", "--json").out)
    assert [item["id"] for item in done["items"]] == ["dog@1", "dog@2"]
    assert (done["removed"], done["bytes"]) == (True, sum(item["bytes"] for item in done["items"]))
    assert [adapter.id for adapter in registry.adapters()] == ["dog@3"]
    assert checked("prune").err == "There is nothing to prune.\n"


@pytest.mark.parametrize(
    "arguments",
    [("--older-than", "soon"), ("--versions", "--max-size", "huge"), ("--keep", "0"), ("--max-size", "5GB")],
)
def test_prune_refuses_what_it_can_not_read(checked: Dv, arguments: tuple[str, ...]) -> None:
    checked("prune", *arguments, check=2)

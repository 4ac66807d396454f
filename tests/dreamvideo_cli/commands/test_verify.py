"""`dv verify`: what isn't as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import Adapter, Registry

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_verify_tells_what_is_not_as_it_was(checked: Dv, publish: Publish, registry: Registry, tmp_path: Path) -> None:
    dog = publish("dog")
    publish("cat")
    fine = checked("verify")
    assert (fine.out, fine.err) == ("", "All is as it was: 2 adapters, 2 sources.\n")
    (tmp_path / "photo.jpg").rename(tmp_path / "elsewhere.jpg")
    moved = checked("verify", "dog")
    assert "moved" in moved.out and "elsewhere.jpg" in moved.out
    (tmp_path / "photo.jpg").write_bytes(b"retouched")
    rows = json.loads(checked("verify", "dog", "--json", check=1).out)
    assert [row["state"] for row in rows] == ["ok", "changed"]
    checked("verify", "dog", "--no-sources")
    (registry.path(dog) / "adapter.safetensors").write_bytes(b"other")
    rows = json.loads(checked("verify", "dog@1", "--no-sources", "--json", check=1).out)
    assert [(row["adapter"], row["state"]) for row in rows] == [("dog@1", "changed")]
    checked("verify", "cat", "--no-sources")
    checked("verify", "nobody", check=2)

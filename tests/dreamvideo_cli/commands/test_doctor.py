"""`dv doctor`: what it finds wrong, and rebuilds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from registry import Adapter, Registry

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_doctor_finds_what_is_wrong_and_rebuilds(
    checked: Dv, publish: Publish, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamvideo_cli.jobs.checkups._devices", lambda: iter(()))
    dog = publish("dog")
    registry.add_tags(dog, ["best"])
    rows = json.loads(checked("doctor", "--json").out)
    assert {row["what"] for row in rows} >= {"ffmpeg", "disk", "registry", "base embedded"}
    registry.close()
    file = registry.folder / "registry.sqlite3"
    file.write_bytes(b"no database at all " * 100)
    assert "dv doctor --rebuild" in checked("list", check=1).err
    assert "BAD" in checked("doctor", check=1).out
    rebuilt = checked("doctor", "--rebuild")
    assert rebuilt.out == "dog@1\n"
    assert "damaged-" in rebuilt.err
    assert checked("list", "--names", "--tag", "best").out == "dog@1\n"
    shutil.rmtree(registry.path(dog))
    gone = checked("doctor", check=1)
    assert "files are gone of dog@1" in gone.out

"""`dv history`: what was composed, and which files are gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import Adapter, NewComposition, Registry

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_history_tells_which_files_are_gone(checked: Dv, publish: Publish, registry: Registry, tmp_path: Path) -> None:
    assert "No video yet" in checked("history").err
    dog = publish("dog")
    (tmp_path / "there.mp4").write_bytes(b"x")
    used = {"role": "subject", "name": "dog@1", "sha256": dog.file_hash}
    for name, adapters in (("there.mp4", [used]), ("gone.mp4", [])):
        record = {"prompt": "a * runs", "seed": 4, "base": {"name": "embedded"}, "adapters": adapters}
        path = str(tmp_path / name)
        registry.compositions.add(NewComposition(path=path, sha256="a" * 64, bytes=1, record=record))
    assert "(gone)" in checked("history").out
    assert checked("history", "--names", "--adapter", "dog").out == f"{tmp_path / 'there.mp4'}\n"
    rows = json.loads(checked("history", "--json", "--limit", "1").out)
    assert [(row["path"], row["exists"], row["seed"]) for row in rows] == [(str(tmp_path / "gone.mp4"), False, 4)]
    (row,) = json.loads(checked("history", "--json", "--adapter", "dog").out)
    assert (row["subject"], row["subject_hash"], row["motion"]) == ("dog@1", dog.file_hash, None)
    assert row["adapters"] == [{"role": "subject", "name": "dog@1", "file_hash": dog.file_hash}]
    assert "No video was made with" in checked("history", "--adapter", publish("cat", content=b"cat").id).err

"""`dv export` and `dv import`: adapters in one file, and what it doesn't replace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import Adapter, Registry

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


def test_adapters_travel_in_one_file(
    checked: Dv, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("dog", content=b"1"), publish("dog", content=b"2"), publish("run", kind="motion")
    assert checked("export", "dog").out == "dog-2.dvpack\n"
    assert "exists" in checked("export", "dog", check=2).err
    assert checked("export", "dog", "run", "--all-versions", "-o", "more.dvpack").out == "more.dvpack\n"
    assert checked("import", "more.dvpack", "--dry-run").out.count("dog@") == 2
    (
        checked("export", check=2),
        checked("export", "dog", "--all", check=2),
        checked("export", "dog@1", "--all-versions", check=2),
    )
    assert "nowhere" in checked("export", "dog", "-o", "nowhere/x.dvpack", check=2).err
    assert checked("export", "--all", "-o", "all.dvpack", "--quiet").err == ""

    monkeypatch.setenv("DV_HOME", str(tmp_path / "other"))
    assert checked("import", "dog-2.dvpack").out == "dog@2\n"
    again = checked("import", "all.dvpack")
    assert again.out == "dog@3\ndog@2\nrun@1\n"
    assert "dog@1 became dog@3" in again.err and "dog@2 was here already" in again.err
    assert checked("import", "all.dvpack", "run", "--as", "jog").out == "jog@1\n"
    assert "dog-3" in checked("import", "dog-3.dvpack", check=2).err
    checked("verify", "--no-sources")


@pytest.mark.parametrize("names", [("dog",), ("--all",)])
def test_an_export_leaves_a_file_that_appears_meanwhile(
    checked: Dv, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    publish("dog")
    export = Registry.export

    def slow(registry: Registry, file: Path, adapters: Any = None) -> int:
        (tmp_path / "x.dvpack").write_text("somebody else's")
        return export(registry, file, adapters)

    monkeypatch.setattr(Registry, "export", slow)
    assert "x.dvpack exists" in checked("export", *names, "-o", "x.dvpack", check=2).err
    assert (tmp_path / "x.dvpack").read_text() == "somebody else's"
    assert not list(tmp_path.glob(".*.partial*"))
    assert checked("export", *names, "-o", "x.dvpack", "--force").out == "x.dvpack\n"
    assert checked("import", "x.dvpack", "--dry-run").code == 0


def test_an_export_replaces_no_device(checked: Dv, publish: Publish, tmp_path: Path) -> None:
    publish("dog")
    os.mkfifo(tmp_path / "pipe")  # a device is made by root alone
    for names in (["dog"], ["--all"]):
        assert "pipe is no file that can be replaced" in checked("export", *names, "-o", "pipe", "--force", check=2).err
    assert (tmp_path / "pipe").is_fifo()
    assert "is a device or a pipe" in checked("import", "pipe", check=2).err
    assert "is a device or a pipe" in checked("import", "pipe", "--dry-run", check=2).err

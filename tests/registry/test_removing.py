"""Removing: all or nothing, rows before files, bytes that are really free."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Adapter, Registry, RegistryUnavailableError, UnknownNameError

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_the_bytes_given_back_are_those_of_the_files(registry: Registry, publish: Publish) -> None:
    dog, cat = publish("dog", content=b"x" * 1000), publish("cat", content=b"y" * 500)
    kept = publish("dog")
    expected = bytes_below(registry.path(dog)) + bytes_below(registry.path(cat))
    assert registry.remove([dog, cat, dog]) == expected > 1500
    assert registry.adapters() == [kept]
    assert not registry.path(dog).exists()
    assert not registry.path(cat).parent.exists()
    assert registry.path(kept).exists()
    assert list((registry.folder / "adapters").glob(".staging-*")) == []


def test_a_file_that_is_linked_elsewhere_frees_nothing(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    dog = publish("dog", content=b"x" * 100_000)
    (tmp_path / "mine").hardlink_to(registry.path(dog) / "adapter.safetensors")
    assert 0 < registry.remove([dog]) < 100_000
    assert (tmp_path / "mine").stat().st_size == 100_000


@pytest.mark.databases("sqlite")
def test_sources_go_with_their_adapter_and_others_stay(registry: Registry, publish: Publish) -> None:
    dog, cat = publish("dog"), publish("cat")
    registry.remove([dog])
    with pytest.raises(UnknownNameError, match="dog@1"):
        registry.sources(dog)
    assert len(registry.sources(cat)) == 1
    with sqlite3.connect(registry.folder / "registry.sqlite3") as raw:
        assert raw.execute("SELECT count(*) FROM sources").fetchone() == (1,)


def test_one_that_is_gone_already_keeps_the_others(registry: Registry, publish: Publish) -> None:
    dog, cat = publish("dog"), publish("cat")
    registry.remove([cat])
    with pytest.raises(UnknownNameError, match="cat@1"):
        registry.remove([dog, cat])
    assert registry.adapters() == [dog]
    assert registry.path(dog).exists()


def test_files_that_were_deleted_by_hand_free_nothing(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    shutil.rmtree(registry.path(dog))
    assert registry.remove([dog]) == 0
    assert registry.adapters() == []


def test_files_that_would_not_go_are_named(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog, cat = publish("dog"), publish("cat")
    rename = Path.rename

    def stubborn(self: Path, target: Path) -> Path:
        if self == registry.path(dog):
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stubborn)
    with pytest.raises(RegistryUnavailableError) as caught:
        registry.remove([dog, cat])
    assert str(registry.path(dog)) in str(caught.value)
    assert registry.adapters() == []
    assert not registry.path(cat).exists()

"""Removing: all or nothing, rows before files, bytes that are really free."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import Session

from registry import Adapter, DamagedAdapterError, Registry, RegistryUnavailableError, UnknownNameError, store
from registry.blobs import measure
from registry.pruning import Limits

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


@pytest.fixture
def restored_meanwhile(registry: Registry) -> Iterator[None]:
    """Another process restores `dog@1` in the moment after its row was deleted."""
    done = False

    def restore(*_: object) -> None:
        nonlocal done
        if not done and "dog@1" not in [adapter.id for adapter in registry.adapters()]:
            done = True
            with Registry.open(registry.folder) as other:
                other.restore(registry.folder / "adapters" / "dog" / "1")

    event.listen(Session, "after_commit", restore)
    yield
    event.remove(Session, "after_commit", restore)
    assert done


def prune_versions(registry: Registry, _: Adapter) -> int:
    return registry.pruner.carry_out(registry.pruner.plan(Limits(whats=frozenset({"version"}))))


def remove_one(registry: Registry, adapter: Adapter) -> int:
    return registry.remove([adapter])


@pytest.mark.parametrize("removal", [remove_one, prune_versions])
def test_one_that_is_restored_meanwhile_keeps_its_files(
    registry: Registry, publish: Publish, request: pytest.FixtureRequest, removal: Callable[[Registry, Adapter], int]
) -> None:
    dog = publish("dog")
    publish("dog", content=b"newer")
    request.getfixturevalue("restored_meanwhile")
    assert removal(registry, dog) == 0
    assert dog in registry.adapters()
    assert measure(registry.path(dog)) == (dog.file_hash, dog.size)


def test_one_that_is_pruned_while_it_is_restored_gets_no_row(
    registry: Registry, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = publish("dog")
    shutil.copytree(registry.path(dog), tmp_path / "copy")
    registry.remove([dog])
    shutil.copytree(tmp_path / "copy", registry.path(dog))

    def measure_and_prune(folder: Path) -> tuple[str, int]:
        measured = measure(folder)
        with Registry.open(registry.folder) as other:
            assert other.pruner.carry_out(other.pruner.plan(Limits(whats=frozenset({"orphan"})))) > 0
        return measured

    monkeypatch.setattr(store, "measure", measure_and_prune)
    with pytest.raises(DamagedAdapterError, match="taken away meanwhile"):
        registry.restore(registry.path(dog))
    assert registry.adapters() == []

"""Renaming: all versions of a name, whatever stands in the way, killed at any moment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import Session

from registry import (
    Adapter,
    DamagedAdapterError,
    InvalidNameError,
    Labels,
    NameTakenError,
    Registry,
    UnknownNameError,
    blobs,
)
from registry.blobs import measure
from tests.registry.crash_injection import killed_at_every_step

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def check_whole(registry: Registry) -> list[str]:
    """Every row has its files, and they are those that were published; give the adapters' ids."""
    for adapter in registry.adapters():
        assert measure(registry.path(adapter)) == (adapter.file_hash, adapter.size)
        document = json.loads((registry.path(adapter) / "adapter.json").read_text())
        assert (document["name"], document["version"]) == (adapter.name, adapter.version)
    return [adapter.id for adapter in registry.adapters()]


def test_every_version_takes_the_new_name_with_all_it_has(registry: Registry, publish: Publish) -> None:
    publish("dog", content=b"one")
    removed, kept = publish("dog"), publish("dog", content=b"three")
    registry.remove([removed])
    registry.set_note(kept, "the one")
    document = registry.path(kept) / "adapter.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), "of_another_program": [1, 2]}))
    after = registry.rename("dog", "rex")
    assert [adapter.id for adapter in after] == ["rex@1", "rex@3"] == check_whole(registry)
    assert after[1].file_hash == kept.file_hash
    assert registry.labels(after[1]) == Labels((), "the one")
    assert len(registry.sources(after[1])) == 1
    assert json.loads((registry.path(after[1]) / "adapter.json").read_text())["of_another_program"] == [1, 2]
    assert [folder.name for folder in (registry.folder / "adapters").iterdir()] == ["rex"]
    with pytest.raises(UnknownNameError):
        registry.find("dog")


def test_numbers_of_both_names_go_on(registry: Registry, publish: Publish) -> None:
    publish("dog"), publish("dog")
    registry.rename("dog", "rex")
    assert publish("dog", kind="motion").id == "dog@3"
    assert publish("rex").id == "rex@3"


def test_a_rename_can_be_taken_back(registry: Registry, publish: Publish) -> None:
    publish("dog"), publish("dog")
    registry.rename("dog", "rex")
    publish("rex")
    registry.rename("rex", "dog")
    assert check_whole(registry) == ["dog@1", "dog@2", "dog@3"]
    registry.rename("dog", "rex")
    assert check_whole(registry) == ["rex@1", "rex@2", "rex@3"]


def test_no_number_is_used_twice(registry: Registry, publish: Publish) -> None:
    registry.remove([publish("dog"), publish("dog")])
    publish("cat")
    with pytest.raises(NameTakenError, match="numbers up to 2"):
        registry.rename("cat", "dog")
    publish("cat")
    registry.remove([registry.find("cat@1"), registry.find("cat@2")])
    publish("cat")
    assert [adapter.id for adapter in registry.rename("cat", "dog")] == ["dog@3"]


def test_a_name_that_learnt_anew_since_is_no_way_back(registry: Registry, publish: Publish) -> None:
    publish("dog")
    registry.rename("dog", "rex")
    registry.remove([publish("dog")])
    with pytest.raises(NameTakenError, match="numbers up to 2"):
        registry.rename("rex", "dog")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("dog", "cat", NameTakenError),
        ("dog", "dog", NameTakenError),
        ("dgo", "rex", UnknownNameError),
        ("dog", "../rex", InvalidNameError),
        ("dog@1", "rex", InvalidNameError),
        ("dog", "lost", NameTakenError),
    ],
)
def test_what_stands_in_the_way_is_said_and_nothing_changes(
    registry: Registry, publish: Publish, old: str, new: str, error: type[Exception]
) -> None:
    publish("dog"), publish("cat")
    (registry.folder / "adapters" / "lost" / "1").mkdir(parents=True)
    with pytest.raises(error):
        registry.rename(old, new)
    assert check_whole(registry) == ["dog@1", "cat@1"]


def test_files_that_are_gone_stop_it_before_anything_changed(registry: Registry, publish: Publish) -> None:
    publish("dog"), publish("dog")
    shutil.rmtree(registry.folder / "adapters" / "dog" / "2")
    with pytest.raises(DamagedAdapterError, match="nothing was renamed"):
        registry.rename("dog", "rex")
    assert [adapter.id for adapter in registry.adapters()] == ["dog@1", "dog@2"]
    assert [folder.name for folder in (registry.folder / "adapters").iterdir()] == ["dog"]


def test_a_link_among_the_files_stops_it_before_anything_changed(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    weights = registry.path(publish("dog")) / "adapter.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedAdapterError, match=r"adapter.safetensors is neither .*, so nothing was renamed\."):
        registry.rename("dog", "rex")
    assert [adapter.id for adapter in registry.adapters()] == ["dog@1"]
    assert [folder.name for folder in (registry.folder / "adapters").iterdir()] == ["dog"]


def test_a_disk_without_links_gets_copies(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    publish("dog")
    registry.rename("dog", "rex")
    assert check_whole(registry) == ["rex@1"]


def test_an_interruption_leaves_one_name_or_the_other(registry: Registry, publish: Publish) -> None:
    publish("dog"), publish("dog")
    for moment in ("before_commit", "after_commit"):
        count = 0

        def interrupt(*_: object) -> None:
            nonlocal count
            count += 1
            if count == 2:
                raise KeyboardInterrupt

        event.listen(Session, moment, interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                registry.rename("dog", "rex")
        finally:
            event.remove(Session, moment, interrupt)
        assert check_whole(registry) == [f"{'dog' if moment == 'before_commit' else 'rex'}@{n}" for n in (1, 2)]


def test_a_rename_that_is_taken_back_at_once_keeps_its_files(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("dog")
    discard = blobs.Blobs.discard

    def discard_and_take_back(self: blobs.Blobs, staged: Path) -> None:
        """Another process, just between the first one's rows and the end of its old folders."""
        discard(self, staged)
        if [adapter.name for adapter in registry.adapters()] == ["rex"]:
            monkeypatch.undo()
            with Registry.open(registry.folder) as other:
                other.rename("rex", "dog")

    monkeypatch.setattr(blobs.Blobs, "discard", discard_and_take_back)
    registry.rename("dog", "rex")
    assert check_whole(registry) == ["dog@1"]


@pytest.mark.databases("sqlite")
def test_killed_at_any_moment_nothing_is_lost_and_it_can_be_repeated(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    dog = publish("dog")
    publish("dog")
    registry.add_tags(dog, ["best"])
    registry.close()
    copy = tmp_path / "copy"

    def reset() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(registry.folder, copy)

    def rename() -> None:
        with Registry.open(copy) as opened:
            opened.rename("dog", "rex")

    ended = 0
    for _ in killed_at_every_step(rename, reset):
        ended += 1
        with Registry.open(copy) as opened:
            ids = check_whole(opened)
            assert ids in (["dog@1", "dog@2"], ["rex@1", "rex@2"])
            if ids[0] == "dog@1":
                opened.rename("dog", "rex")
            assert check_whole(opened) == ["rex@1", "rex@2"]
            assert opened.labels(opened.find("rex@1")) == Labels(("best",))
    assert ended > 20

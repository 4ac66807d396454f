"""Tags and notes: what may be one, that none is lost to another process, a kill or a lost database."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry import (
    Adapter,
    DamagedAdapterError,
    InvalidNameError,
    Labels,
    NewerRegistryError,
    Registry,
    UnknownNameError,
    labels,
)
from registry.blobs import measure
from tests.registry.crash_injection import killed_at_every_step
from tests.registry.labelled import labels_in

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def test_tags_and_a_note_are_kept_beside_the_files_and_out_of_their_hash(registry: Registry, publish: Publish) -> None:
    dog, cat = publish("dog"), publish("cat")
    assert registry.labels(dog) == Labels()
    assert registry.add_tags(dog, ["good", "best", "good"]) == Labels(("best", "good"))
    assert registry.set_note(dog, "  the one\nfor the film ") == Labels(("best", "good"), "the one\nfor the film")
    assert registry.remove_tags(dog, ["good", "never"]) == Labels(("best",), "the one\nfor the film")
    assert labels_in(registry) == {"dog@1": registry.labels(dog)}
    assert registry.labels(cat) == Labels()
    assert measure(registry.path(dog)) == (dog.file_hash, dog.size)
    assert registry.set_note(dog, " ") == Labels(("best",))
    assert registry.remove_tags(dog, ["best"]) == Labels()
    assert labels_in(registry) == {}
    assert [path.name for path in (registry.folder / "adapters").iterdir() if path.name.startswith(".")] == []


def test_labels_go_with_their_adapter(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    registry.add_tags(dog, ["best"])
    registry.remove([dog])
    assert labels_in(registry) == {}
    assert registry.labels(publish("dog")) == Labels()
    with pytest.raises(UnknownNameError, match="dog@1"):
        registry.add_tags(dog, ["best"])


@pytest.mark.parametrize("tag", ["", "two words", "../up", "a,b", "-x", "x" * 65])
def test_what_can_be_no_tag(registry: Registry, publish: Publish, tag: str) -> None:
    dog = publish("dog")
    with pytest.raises(InvalidNameError, match="can't be a tag"):
        registry.add_tags(dog, ["best", tag])
    assert registry.labels(dog) == Labels()


def test_what_can_be_no_note(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    for note in ("x" * 10_001, "not text: \udc80"):
        with pytest.raises(InvalidNameError, match="note"):
            registry.set_note(dog, note)
    assert registry.set_note(dog, "犬 🐕 'quoted' \x1b[0m").note == "犬 🐕 'quoted' \x1b[0m"


@pytest.mark.databases("sqlite")
def test_labels_come_back_with_a_lost_row(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    said = registry.add_tags(dog, ["best", "film"])
    said = registry.set_note(dog, "keep")
    registry.close()
    for file in registry.folder.glob("registry.sqlite3*"):
        file.unlink()
    with Registry.open(registry.folder) as rebuilt:
        rebuilt.restore(rebuilt.path(dog))
        assert rebuilt.labels(dog) == said == Labels(("best", "film"), "keep")


@pytest.mark.databases("sqlite")
def test_damaged_labels_are_told_and_cost_no_adapter(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    file = registry.path(dog) / "labels.json"
    for text in (b"{", b"[]", b"\xff", b'{"format": 1, "tags": "x", "note": null}', b'{"format": 1, "tags": ["a b"]}'):
        file.write_bytes(text)
        with pytest.raises(DamagedAdapterError, match=r"labels\.json is damaged"):
            labels.read(file.parent)
    file.write_text(json.dumps({"format": 2}))
    with pytest.raises(NewerRegistryError, match="format 2"):
        labels.read(file.parent)
    registry.close()
    for database in registry.folder.glob("registry.sqlite3*"):
        database.unlink()
    with Registry.open(registry.folder) as rebuilt:
        assert rebuilt.restore(file.parent) == dog


def test_an_error_before_the_commit_changes_nothing(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = publish("dog")
    registry.add_tags(dog, ["old"])

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            registry.add_tags(dog, ["new"])
    assert registry.labels(dog) == labels.read(registry.path(dog)) == Labels(("old",))


def test_two_that_tag_at_once_lose_nothing(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")

    def tag(number: int) -> None:
        with Registry.open(registry.folder) as own:
            own.add_tags(dog, [f"tag{number}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tag, range(12)))
    assert set(registry.labels(dog).tags) == {f"tag{number}" for number in range(12)}
    assert labels.read(registry.path(dog)) == registry.labels(dog)


def test_a_folder_that_is_gone_says_so(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    dog = publish("dog")
    registry.path(dog).rename(tmp_path / "elsewhere")
    with pytest.raises(DamagedAdapterError, match="dv verify"):
        registry.add_tags(dog, ["best"])
    assert registry.labels(dog) == Labels()


@pytest.mark.databases("sqlite")
def test_killed_at_any_moment_a_tag_is_there_or_not_and_verify_is_clean(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    registry.add_tags(publish("dog"), ["old"])
    registry.close()
    copy = tmp_path / "copy"

    def reset() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(registry.folder, copy)

    def tag() -> None:
        with Registry.open(copy) as opened:
            opened.add_tags(opened.find("dog"), ["new"])

    for ended in killed_at_every_step(tag, reset):
        with Registry.open(copy) as opened:
            (finding,) = opened.check(opened.adapters())
            assert finding.state == "ok"
            said = opened.labels(finding.adapter)
            assert said == labels.read(opened.path(finding.adapter))
            assert said.tags in ((("new", "old"),) if ended else (("old",), ("new", "old")))

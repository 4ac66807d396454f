"""Publishing, finding, listing: what goes in comes out, and no number is used twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import Adapter, NameTakenError, NewAdapter, Registry, Source, UnknownNameError
from registry.pruning import Limits

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]
MakeAdapter = Callable[..., NewAdapter]
MakeSource = Callable[..., Source]


def staging_folders(registry: Registry) -> list[Path]:
    return list((registry.folder / "adapters").glob(".staging-*"))


def test_what_goes_in_comes_out(registry: Registry, make_adapter: MakeAdapter, make_source: MakeSource) -> None:
    sources = [
        make_source("/photographs/ü 1.jpg"),
        make_source("/photographs/masks/ü 1.png", role="mask", bytes=99),
        make_source("/clips/guitar.avi", role="clip", frames=48, width=320, height=240),
    ]
    given = make_adapter(prompt='a "dog"\n犬', hyperparameters={"betas": (0.9, 0.999), "flip": False})
    with registry.staging() as staged:
        (staged / "adapter.safetensors").write_bytes(b"weights")
        (staged / "images").mkdir()
        (staged / "images" / "0.safetensors").write_bytes(b"image")
        published = registry.publish(staged, given, sources)

    assert published.version == 1
    assert published.id == "chowchow@1"
    assert published.size == len(b"weights") + len(b"image")
    assert published.hyperparameters == {"betas": [0.9, 0.999], "flip": False}
    for field in ("kind", "name", "origins", "seed", "final_loss", "prompt", "class_word", "started_at"):
        assert getattr(published, field) == getattr(given, field)
    with Registry.open(registry.folder) as other:
        assert other.find("chowchow") == other.find("chowchow@1") == published
        assert other.adapters() == [published]
        assert other.sources(published) == sources
        assert (other.path(published) / "images" / "0.safetensors").read_bytes() == b"image"
    assert staging_folders(registry) == []


def test_a_path_of_bytes_that_are_no_text_is_kept_readable(
    registry: Registry, make_adapter: MakeAdapter, make_source: MakeSource
) -> None:
    with registry.staging() as staged:
        source = make_source(os.fsdecode(b"/photographs/\xff.jpg"))
        published = registry.publish(staged, make_adapter(), [source])
    assert registry.sources(published)[0].path == "/photographs/\\udcff.jpg"


def test_the_hash_tells_contents_and_names_apart(registry: Registry, make_adapter: MakeAdapter) -> None:
    def hash_of(files: dict[str, bytes]) -> str:
        with registry.staging() as staged:
            for name, content in files.items():
                (staged / name).write_bytes(content)
            return registry.publish(staged, make_adapter(), []).file_hash

    folders = [{"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}, {"a": b"bd"}, {}]
    assert len({hash_of(files) for files in folders}) == len(folders)
    assert hash_of({"b": b"2", "a": b"1"}) == hash_of({"a": b"1", "b": b"2"})


def test_learning_again_makes_the_next_version(registry: Registry, publish: Publish) -> None:
    first, second = publish(content=b"one"), publish(content=b"two")
    assert [adapter.id for adapter in registry.adapters()] == ["chowchow@1", "chowchow@2"]
    assert registry.find("chowchow") == second
    assert registry.find("chowchow@1") == first
    assert (registry.path(first) / "adapter.safetensors").read_bytes() == b"one"


def test_a_number_is_not_used_again_after_removal(registry: Registry, publish: Publish) -> None:
    publish(), registry.remove([publish()])
    assert publish().version == 3
    registry.remove(registry.adapters())
    assert registry.next_version("chowchow", "subject") == 4
    assert publish().version == 4


def test_a_name_belongs_to_one_kind(registry: Registry, publish: Publish) -> None:
    publish("dog")
    with pytest.raises(NameTakenError, match="'dog' is the name of a subject"):
        registry.next_version("dog", "motion")
    with pytest.raises(NameTakenError):
        publish("dog", kind="motion")
    assert [adapter.kind for adapter in registry.adapters()] == ["subject"]
    assert staging_folders(registry) == []


def test_a_name_without_versions_may_change_its_kind_and_its_numbers_go_on(
    registry: Registry, publish: Publish
) -> None:
    registry.remove([publish("dog")])
    assert publish("dog", kind="motion").id == "dog@2"
    with pytest.raises(NameTakenError):
        publish("dog", kind="subject")


def test_composed_and_decomposed_accents_are_one_name(registry: Registry, publish: Publish) -> None:
    publish("cafe\u0301")
    assert publish("caf\u00e9").id == "caf\u00e9@2"
    assert registry.find("cafe\u0301@1").name == "caf\u00e9"
    assert len(registry.adapters(name="cafe\u0301")) == 2


def test_listing_by_kind_and_name(registry: Registry, publish: Publish) -> None:
    for name, kind in [("dog", "subject"), ("run", "motion"), ("cat", "subject"), ("dog", "subject")]:
        publish(name, kind=kind)
    assert [adapter.id for adapter in registry.adapters()] == ["dog@1", "run@1", "cat@1", "dog@2"]
    assert [adapter.id for adapter in registry.adapters(kind="motion")] == ["run@1"]
    assert [adapter.id for adapter in registry.adapters(kind="subject", name="dog")] == ["dog@1", "dog@2"]
    assert registry.adapters(name="nothing") == []


def test_an_unknown_name_is_answered_with_the_ones_like_it(registry: Registry, publish: Publish) -> None:
    with pytest.raises(UnknownNameError, match="none has been learnt yet"):
        registry.find("chowchow")
    publish("Chowchow"), publish("guitar", kind="motion")
    with pytest.raises(UnknownNameError, match=r"Did you mean Chowchow\?"):
        registry.find("chowchw", kind="subject")
    with pytest.raises(UnknownNameError, match="There is: Chowchow, guitar"):
        registry.find("zebra")
    with pytest.raises(UnknownNameError, match="'guitar' is a motion, not a subject"):
        registry.find("guitar", kind="subject")
    with pytest.raises(UnknownNameError, match=r"There is no guitar@3\. Of 'guitar' there is: guitar@1"):
        registry.find("guitar@3")


def test_the_document_is_the_row_and_what_the_caller_adds(
    registry: Registry, make_adapter: MakeAdapter, make_source: MakeSource
) -> None:
    def describe(document: dict[str, Any]) -> None:
        document.update(note="mine", version=99)

    with registry.staging() as staged:
        published = registry.publish(staged, make_adapter(), [make_source()], describe)
    document = json.loads((registry.path(published) / "adapter.json").read_text())
    assert document["note"] == "mine"
    assert document["version"] == published.version == 1
    assert document["file_hash"] == published.file_hash
    assert document["sources"][0]["path"] == "/photographs/1.jpg"


def test_staging_is_gone_when_nothing_was_published(registry: Registry) -> None:
    with pytest.raises(KeyboardInterrupt), registry.staging() as staged:
        (staged / "half").write_bytes(b"...")
        raise KeyboardInterrupt
    assert not staged.exists()


def test_what_a_killed_process_left_in_staging_is_swept_after_a_week(registry: Registry) -> None:
    adapters = registry.folder / "adapters"
    old, young = adapters / ".staging-old", adapters / ".staging-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"...")
    long_ago = time.time() - 8 * 24 * 3600
    for path in (old / "weights", old, young):
        os.utime(path, (long_ago, long_ago))
    with registry.staging():
        assert not old.exists()
        assert (young / "weights").exists()


def test_run_folders_are_named_not_made(registry: Registry) -> None:
    assert registry.run_folder("dog") == registry.folder / "runs" / "dog"
    assert not registry.run_folder("dog").exists()


def test_a_folder_whose_name_is_no_number_of_ours_is_left_alone(registry: Registry, publish: Publish) -> None:
    strangers = [registry.folder / "adapters" / "chowchow" / name for name in ("9" * 30, "007", "0")]
    for folder in strangers:
        folder.mkdir(parents=True)
    assert publish().id == "chowchow@1"
    assert publish().id == "chowchow@2"
    plan = registry.pruner.plan(Limits(whats=frozenset({"orphan"})))
    assert plan.doomed == ()
    assert all(folder.is_dir() for folder in strangers)

"""The history of composed videos: it outlives its files, its adapters and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry import Adapter, NewComposition, Registry, adapters_in

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def video(path: str, *learnt: Adapter) -> NewComposition:
    record: dict[str, Any] = {"prompt": "a * runs", "seed": 2**63 - 1, "base": {"name": "embedded"}}
    record["adapters"] = [{"role": each.kind, "name": each.id, "sha256": each.file_hash} for each in learnt]
    return NewComposition(path=path, sha256="c" * 64, bytes=10, record=record)


def test_videos_are_found_by_what_they_were_made_with(registry: Registry, publish: Publish) -> None:
    dog, run = publish("dog", content=b"dog"), publish("run", kind="motion", content=b"run")
    both = registry.compositions.add(video("/both.mp4", dog, run))
    bare = registry.compositions.add(video("/bare.mp4"))
    alone = registry.compositions.add(video("/alone\udcff.mp4", run))
    assert registry.compositions.all() == [both, bare, alone]
    assert registry.compositions.all(limit=2) == [bare, alone]
    assert registry.compositions.all(adapter=run) == [both, alone]
    assert (both.prompt, both.seed) == ("a * runs", 2**63 - 1)
    assert [(each.role, each.name, each.file_hash) for each in both.adapters] == [
        ("subject", "dog@1", dog.file_hash), ("motion", "run@1", run.file_hash),
    ]  # fmt: skip
    assert alone.path == "/alone\\udcff.mp4"

    (renamed,) = registry.rename("dog", "rex")
    assert registry.compositions.all(adapter=renamed) == [both]
    registry.remove([renamed])
    assert registry.compositions.all() == [both, bare, alone]


def test_any_number_of_adapters_of_each_kind_is_found(registry: Registry, publish: Publish) -> None:
    dog, cat = publish("dog", content=b"dog"), publish("cat", content=b"cat")
    run, hop = (publish(name, kind="motion", content=name.encode()) for name in ("run", "hop"))
    made = registry.compositions.add(video("/four.mp4", dog, run, hop, cat))
    assert [each.name for each in made.adapters] == ["dog@1", "run@1", "hop@1", "cat@1"]
    for adapter in (dog, cat, run, hop):
        assert registry.compositions.all(adapter=adapter) == [made]
    assert registry.compositions.all(adapter=publish("bird", content=b"bird")) == []
    twice = registry.compositions.add(video("/twice.mp4", dog, dog))
    assert registry.compositions.all(adapter=dog) == [made, twice]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"motion": {"name": "run@1", "sha256": "r"}, "subject": {"name": "dog@2", "sha256": "d"}}, ["dog@2", "run@1"]),
        ({"adapters": [{"role": "motion", "name": "run@1", "sha256": "r", "strength": 2.0}]}, ["run@1"]),
        ({"adapters": [{"role": "motion", "name": "made-in-python", "strength": 2.0}]}, ["made-in-python"]),
        ({"adapters": [3, {"role": "base", "name": "x", "sha256": "y"}, {"name": None}, {"role": []}]}, []),
        ({"adapters": "x", "subject": "y", "motion": {"name": 3}}, ["3"]),
        ({}, []),
    ],
)
def test_records_of_every_version_name_their_adapters(record: dict[str, Any], expected: list[str]) -> None:
    assert [each.name for each in adapters_in(record)] == expected

"""The history of composed videos: it outlives its files, its adapters and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry import Adapter, NewComposition, Registry

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def video(path: str, **learnt: Adapter) -> NewComposition:
    record: dict[str, Any] = {"prompt": "a * runs", "seed": 2**63 - 1, "base": {"name": "embedded"}}
    record |= {kind: {"name": adapter.id, "sha256": adapter.file_hash} for kind, adapter in learnt.items()}
    return NewComposition(path=path, sha256="c" * 64, bytes=10, record=record)


def test_videos_are_found_by_what_they_were_made_with(registry: Registry, publish: Publish) -> None:
    dog, run = publish("dog", content=b"dog"), publish("run", kind="motion", content=b"run")
    both = registry.compositions.add(video("/both.mp4", subject=dog, motion=run))
    bare = registry.compositions.add(video("/bare.mp4"))
    alone = registry.compositions.add(video("/alone\udcff.mp4", motion=run))
    assert registry.compositions.all() == [both, bare, alone]
    assert registry.compositions.all(limit=2) == [bare, alone]
    assert registry.compositions.all(adapter=run) == [both, alone]
    assert (both.prompt, both.seed, both.subject, both.motion) == ("a * runs", 2**63 - 1, "dog@1", "run@1")
    assert both.record["subject"]["sha256"] == dog.file_hash
    assert alone.path == "/alone\\udcff.mp4"

    (renamed,) = registry.rename("dog", "rex")
    assert registry.compositions.all(adapter=renamed) == [both]
    registry.remove([renamed])
    assert registry.compositions.all() == [both, bare, alone]

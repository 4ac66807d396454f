"""Verifying: every kind of damage to an adapter or its sources is seen and told."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Adapter, Labels, NewAdapter, Registry, Source

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def states(registry: Registry) -> list[tuple[str, str, bool]]:
    findings = registry.check(registry.adapters(), sha256)
    return [(Path(f.source.path).name if f.source else f.adapter.id, f.state, f.is_mismatch) for f in findings]


@pytest.fixture
def learnt(registry: Registry, tmp_path: Path, make_adapter: Callable[..., NewAdapter]) -> Path:
    """An adapter of two photographs; the folder they are in."""
    photos = tmp_path / "photos"
    photos.mkdir()
    sources = []
    for number in (1, 2):
        path = photos / f"{number}.jpg"
        path.write_bytes(b"picture %d" % number)
        sources.append(Source(path=str(path), sha256=sha256(path), bytes=9, width=1, height=1, frames=1, role="image"))
    with registry.staging() as staged:
        (staged / "adapter.safetensors").write_bytes(b"weights")
        registry.publish(staged, make_adapter("dog"), sources)
    return photos


def test_what_is_whole_is_ok(registry: Registry, learnt: Path) -> None:
    registry.add_tags(registry.find("dog"), ["best"])
    assert states(registry) == [("dog@1", "ok", False), ("1.jpg", "ok", False), ("2.jpg", "ok", False)]
    assert learnt.exists()
    assert [finding.source for finding in registry.check(registry.adapters())] == [None]


def test_sources_that_changed_moved_or_vanished(registry: Registry, learnt: Path) -> None:
    (learnt / "1.jpg").write_bytes(b"retouched")
    (learnt / "old").mkdir()
    (learnt / "2.jpg").rename(learnt / "old" / "dog.jpg")
    assert states(registry)[1:] == [("1.jpg", "changed", True), ("2.jpg", "moved", False)]
    *_, moved = registry.check(registry.adapters(), sha256)
    assert moved.detail == str(learnt / "old" / "dog.jpg")
    shutil.rmtree(learnt)
    assert states(registry)[1:] == [("1.jpg", "vanished", False), ("2.jpg", "vanished", False)]


def test_a_file_beside_a_lost_source_that_vanishes_while_it_is_looked_at_is_no_damage(
    registry: Registry, learnt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (learnt / "1.jpg").unlink()
    (learnt / "another.jpg").write_bytes(b"another")
    is_file = Path.is_file

    def look_and_remove(self: Path) -> bool:
        seen = is_file(self)
        if self.name == "another.jpg":
            self.unlink(missing_ok=True)
        return seen

    monkeypatch.setattr(Path, "is_file", look_and_remove)
    assert ("1.jpg", "vanished", False) in states(registry)


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (lambda folder: (folder / "adapter.safetensors").write_bytes(b"WEIGHTS"), "changed"),
        (lambda folder: (folder / "adapter.safetensors").unlink(), "changed"),
        (lambda folder: (folder / "more").write_bytes(b""), "changed"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "changed"),
        (lambda folder: (folder / "adapter.json").unlink(), "changed"),
        (lambda folder: (folder / "adapter.json").write_text("{"), "changed"),
        (
            lambda folder: (folder / "adapter.json").write_text(
                json.dumps({**json.loads((folder / "adapter.json").read_text()), "seed": 8})
            ),
            "changed",
        ),
        (lambda folder: (folder / "labels.json").unlink(), "changed"),
        (lambda folder: (folder / "labels.json").write_text("x"), "changed"),
        (shutil.rmtree, "vanished"),
    ],
)
def test_every_damage_to_an_adapter_is_a_mismatch(
    registry: Registry, publish: Publish, damage: Callable[[Path], object], state: str
) -> None:
    dog = publish("dog")
    registry.add_tags(dog, ["best"])
    damage(registry.path(dog))
    (finding,) = registry.check([dog])
    assert (finding.state, finding.is_mismatch) == (state, True)
    assert str(registry.path(dog)) in finding.detail


def test_one_that_was_removed_meanwhile_is_no_damage(registry: Registry, publish: Publish) -> None:
    dog, cat = publish("dog"), publish("cat")
    registry.remove([dog])
    assert [(finding.adapter, finding.state) for finding in registry.check([dog, cat])] == [(cat, "ok")]


def test_labels_that_a_kill_left_ahead_of_their_row_count(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    file = registry.path(dog) / "labels.json"
    file.write_text('{"format": 1, "tags": ["best"], "note": null}')
    assert [finding.state for finding in registry.check([dog])] == ["ok"]
    assert registry.labels(dog) == Labels(("best",))

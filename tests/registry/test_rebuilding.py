"""A corrupt database: set aside, never deleted, and every row back from the adapters' own files."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from registry import Adapter, DamagedRegistryError, Labels, NewComposition, Registry
from registry.pruning import Limits
from registry.rebuilding import damage_of, rebuild
from tests.registry.crash_injection import killed_at_every_step
from tests.registry.labelled import labels_in

Publish = Callable[..., Adapter]


@pytest.fixture
def filled(registry: Registry, publish: Publish) -> list[Adapter]:
    """Adapters with labels, a base and a video, in a registry that is closed."""
    adapters = [publish("dog", ended_at="2026-03-01"), publish("run", kind="motion", ended_at="2026-02-01")]
    adapters.append(publish("dog", ended_at="2026-04-01"))
    registry.add_tags(adapters[0], ["best"])
    registry.set_note(adapters[1], "for the film")
    registry.add_base("zeroscope", "/models/zeroscope")
    record = {"prompt": "it runs", "seed": 1, "base": {"name": "embedded"}}
    registry.compositions.add(NewComposition(path="/a.mp4", sha256="a", bytes=3, record=record))
    registry.close()
    return adapters


def check(folder: Path, filled: list[Adapter]) -> None:
    with Registry.open(folder) as registry:
        assert sorted(registry.adapters(), key=lambda a: a.ended_at) == sorted(filled, key=lambda a: a.ended_at)
        assert all(len(registry.sources(adapter)) == 1 for adapter in filled)
        assert labels_in(registry) == {"dog@1": Labels(("best",)), "run@1": Labels((), "for the film")}
        assert registry.next_version("dog", "subject") == 3


@pytest.mark.parametrize("content", [b"hello, I am a text file. " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_every_row_comes_back(registry: Registry, filled: list[Adapter], content: bytes) -> None:
    file = registry.folder / "registry.sqlite3"
    file.write_bytes(content)
    with pytest.raises(DamagedRegistryError, match="dv doctor --rebuild"):
        Registry.open(registry.folder)
    assert "is damaged" in str(damage_of(registry.folder))
    rebuilt = rebuild(registry.folder)
    assert rebuilt.set_aside is not None
    assert rebuilt.set_aside.read_bytes() == content
    assert [adapter.id for adapter in rebuilt.restored] == ["run@1", "dog@1", "dog@2"]
    assert rebuilt.refused == ()
    check(registry.folder, filled)
    assert damage_of(registry.folder) is None


def test_what_can_still_be_read_is_saved(
    registry: Registry, filled: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.rebuilding.flaws_of", lambda _: ["row 7 missing from index"])
    assert "row 7" in str(damage_of(registry.folder))
    rebuild(registry.folder)
    check(registry.folder, filled)
    with Registry.open(registry.folder) as opened:
        assert [base.name for base in opened.bases()] == ["zeroscope"]
        assert [made.prompt for made in opened.compositions.all()] == ["it runs"]


def test_a_page_of_garbage_further_in(registry: Registry, filled: list[Adapter]) -> None:
    file = registry.folder / "registry.sqlite3"
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    file.write_bytes(content)
    assert damage_of(registry.folder) is not None
    rebuild(registry.folder)
    check(registry.folder, filled)


def test_a_healthy_registry_only_gets_what_it_lacks(registry: Registry, filled: list[Adapter]) -> None:
    labels = registry.path(filled[0]) / "labels.json"
    labels.write_text(labels.read_text().replace("best", "dearest"))
    (registry.path(filled[2]) / "adapter.safetensors").write_bytes(b"others")
    rebuilt = rebuild(registry.folder)
    assert (rebuilt.set_aside, rebuilt.restored) == (None, ())
    assert [flaw for flaw in rebuilt.refused if "dog@2" in flaw] == list(rebuilt.refused) != []
    with Registry.open(registry.folder) as opened:
        assert opened.labels(filled[0]) == Labels(("dearest",))
        assert len(opened.adapters()) == 3


def test_a_link_in_one_folder_keeps_no_other_from_coming_back(
    registry: Registry, filled: list[Adapter], tmp_path: Path
) -> None:
    weights = registry.path(filled[0]) / "adapter.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    (registry.folder / "registry.sqlite3").write_bytes(b"no database at all " * 100)
    rebuilt = rebuild(registry.folder)
    assert [adapter.id for adapter in rebuilt.restored] == ["run@1", "dog@2"]
    assert [str(weights) in flaw for flaw in rebuilt.refused] == [True]


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("x")])
def test_labels_that_no_file_tells_stay_in_the_row(
    registry: Registry, filled: list[Adapter], damage: Callable[[Path], object]
) -> None:
    damage(registry.path(filled[0]) / "labels.json")
    rebuild(registry.folder)
    with Registry.open(registry.folder) as opened:
        assert opened.labels(filled[0]) == Labels(("best",))


def test_no_database_at_all(registry: Registry, filled: list[Adapter]) -> None:
    for file in registry.folder.glob("registry.sqlite3*"):
        file.unlink()
    assert damage_of(registry.folder) is None
    assert len(rebuild(registry.folder).restored) == 3
    check(registry.folder, filled)


def break_table(file: Path, table: str) -> None:
    """Fill the head of one table's first page with garbage; the others stay readable."""
    with closing(sqlite3.connect(file)) as raw:
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 64] = b"\xff" * 64
    file.write_bytes(content)


def test_killed_at_any_moment_it_loses_nothing_to_a_prune_and_can_be_repeated(
    registry: Registry, filled: list[Adapter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_table(registry.folder / "registry.sqlite3", "adapters")
    copy = tmp_path / "copy"

    def reset() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(registry.folder, copy)

    restore = Registry.restore

    def restore_slowly(self: Registry, folder: Path) -> Adapter:
        os.utime(copy)  # a moment to die at: what the database itself does to the disk isn't seen
        return restore(self, folder)

    monkeypatch.setattr(Registry, "restore", restore_slowly)
    kills = 0
    for ended in killed_at_every_step(lambda: rebuild(copy), reset):
        kills += not ended
        with suppress(DamagedRegistryError), Registry.open(copy) as opened:
            opened.pruner.carry_out(opened.pruner.plan(Limits(whats=frozenset({"orphan"}))))
        rebuild(copy)
        check(copy, filled)
        with Registry.open(copy) as opened:
            assert [base.name for base in opened.bases()] == ["zeroscope"]
            assert [made.prompt for made in opened.compositions.all()] == ["it runs"]
    assert kills > len(filled)


def test_each_damaged_database_is_kept_under_a_name_of_its_own(
    registry: Registry, filled: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.rebuilding.time.strftime", lambda _: "20260101-000000")
    file = registry.folder / "registry.sqlite3"
    for content in (b"first" * 100, b"second" * 100):
        file.write_bytes(content)
        aside = rebuild(registry.folder).set_aside
        assert aside is not None and aside.read_bytes() == content
    assert len(list(registry.folder.glob("registry.sqlite3.damaged-*"))) == 2
    check(registry.folder, filled)

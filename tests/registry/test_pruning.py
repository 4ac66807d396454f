"""Pruning: what goes is what was shown, and nothing that anybody needs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry import Adapter, Labels, Registry, Run, blobs
from registry.blobs import Blobs, bytes_on_disk
from registry.pruning import Limits, What
from tests.registry.labelled import labels_in

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def limits(*whats: What, **changes: object) -> Limits:
    return Limits(whats=frozenset(whats), **changes)  # type: ignore[arg-type]


def ids(registry: Registry, *whats: What, **changes: object) -> list[str]:
    return [each.id for each in registry.pruner.plan(limits(*whats, **changes)).doomed]


def prune(registry: Registry, *whats: What, **changes: object) -> int:
    return registry.pruner.carry_out(registry.pruner.plan(limits(*whats, **changes)))


def names(adapters: Iterable[Adapter]) -> list[str]:
    return [adapter.id for adapter in adapters]


def unfinished_run(registry: Registry, name: str, *, size: int = 100) -> Path:
    with registry.runs.lock(name):
        id = registry.runs.begin("subject", name)
        registry.runs.end(id, "failed", message="out of memory")
    run = registry.run_folder(name)
    run.mkdir(parents=True)
    (run / "token.snapshot").write_bytes(b"x" * size)
    registry.runs.log_of(id).parent.mkdir(exist_ok=True)
    registry.runs.log_of(id).write_text("it began\n")
    return run


def test_old_versions_go_but_neither_the_newest_nor_a_tagged_one(registry: Registry, publish: Publish) -> None:
    dogs = [publish("dog", content=b"x" * 1000) for _ in range(4)]
    publish("cat")
    registry.add_tags(dogs[1], ["film"])
    assert ids(registry, "version") == ["dog@1", "dog@3"]
    assert ids(registry, "version", keep=2) == ["dog@1"]
    plan = registry.pruner.plan(limits("version"))
    free = bytes_on_disk(registry.folder / "adapters")
    assert plan.bytes == registry.pruner.carry_out(plan) > 2000
    assert free - bytes_on_disk(registry.folder / "adapters") == plan.bytes
    assert names(registry.adapters()) == ["dog@2", "dog@4", "cat@1"]
    assert ids(registry, "version") == []


def test_what_changed_since_the_plan_stays(registry: Registry, publish: Publish) -> None:
    dogs = [publish("dog") for _ in range(4)]
    plan = registry.pruner.plan(limits("version"))
    registry.add_tags(dogs[0], ["film"])
    registry.remove([dogs[1]])
    assert registry.pruner.carry_out(plan) > 0
    assert names(registry.adapters()) == ["dog@1", "dog@4"]
    plan = registry.pruner.plan(limits("version"))
    publish("cat"), publish("cat")
    plan = registry.pruner.plan(limits("version"))
    registry.rename("cat", "tiger")
    assert registry.pruner.carry_out(plan) == 0
    assert names(registry.adapters()) == ["dog@1", "dog@4", "tiger@1", "tiger@2"]


def test_age_counts_from_the_end_of_learning(registry: Registry, publish: Publish) -> None:
    for day in (1, 5, 9, 13):
        publish("dog", ended_at=f"2026-03-{day:02}T10:00:00+00:00")
    publish("dog", ended_at="2026-03-20T10:00:00")
    publish("dog")
    now = datetime(2026, 3, 25, tzinfo=UTC)
    plan = registry.pruner.plan(limits("version", older_than=timedelta(days=15)), now)
    assert [each.id for each in plan.doomed] == ["dog@1", "dog@2", "dog@3"]


def test_numbers_say_which_version_is_newest_whatever_the_clock_said(registry: Registry, publish: Publish) -> None:
    for moment in ("2099-01-01T00:00:00+00:00", "2026-03-20T10:00:00+00:00", "1970-01-01T00:00:00+00:00"):
        publish("dog", ended_at=moment)
    assert ids(registry, "version") == ["dog@1", "dog@2"]
    plan = registry.pruner.plan(limits("version", older_than=timedelta(days=1)), datetime(2026, 3, 25, tzinfo=UTC))
    assert [each.id for each in plan.doomed] == ["dog@2"]
    plan = registry.pruner.plan(limits("version", older_than=timedelta(days=1)), datetime(1970, 1, 1, tzinfo=UTC))
    assert plan.doomed == ()


def test_no_more_goes_than_the_size_asks_for_the_oldest_first(registry: Registry, publish: Publish) -> None:
    for name, day in (("dog", 3), ("cat", 1), ("dog", 4), ("cat", 2), ("dog", 5), ("cat", 6)):
        publish(name, content=b"x" * 10_000, ended_at=f"2026-03-{day:02}T10:00:00+00:00")
    total = bytes_on_disk(registry.folder / "adapters")
    assert ids(registry, "version", at_most=total) == []
    assert ids(registry, "version", at_most=total - 1) == ["cat@1"]
    assert ids(registry, "version", at_most=total - 20_000) == ["cat@1", "cat@2"]
    assert ids(registry, "version", at_most=0) == ["cat@1", "cat@2", "dog@1", "dog@2"]


def test_a_run_in_use_is_never_pruned(registry: Registry) -> None:
    run = unfinished_run(registry, "dog")
    assert ids(registry, "snapshot") == ["dog"]
    plan = registry.pruner.plan(limits("snapshot"))
    with registry.runs.lock("dog"):
        registry.runs.begin("subject", "dog")
        assert ids(registry, "snapshot") == []
        assert registry.pruner.carry_out(plan) == 0
    assert (run / "token.snapshot").exists()


def test_a_snapshot_that_is_newer_than_what_was_shown_stays(registry: Registry) -> None:
    run = unfinished_run(registry, "dog")
    past = time.time() - 40 * 24 * 3600
    for path in (run / "token.snapshot", run):
        os.utime(path, (past, past))
    plan = registry.pruner.plan(limits("snapshot", older_than=timedelta(days=30)))
    assert [each.id for each in plan.doomed] == ["dog"]
    (run / "token.snapshot").write_bytes(b"of a minute ago")
    assert registry.pruner.carry_out(plan) == 0
    assert (run / "token.snapshot").read_bytes() == b"of a minute ago"
    assert len(registry.runs.all()) == 1


def test_a_snapshot_takes_its_runs_along_and_a_run_its_log(registry: Registry) -> None:
    run = unfinished_run(registry, "dog", size=5000)
    assert ids(registry, "run") == []
    assert prune(registry, "snapshot") == 5000
    assert not run.exists()
    assert registry.runs.all() == []
    assert list((registry.folder / "logs").iterdir()) == []

    shutil.rmtree(unfinished_run(registry, "cat"))
    (cat,) = registry.runs.all()
    assert ids(registry, "run") == [f"run {cat.id}"]
    assert prune(registry, "run") == len("it began\n")
    assert registry.runs.all() == []


def test_files_without_a_row_go(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    folder = registry.path(dog)
    shutil.copytree(folder, registry.folder / "copy")
    registry.remove([dog])
    shutil.copytree(registry.folder / "copy", folder)
    (registry.folder / "logs").mkdir()
    (registry.folder / "logs" / "7.log").write_text("of a run that was forgotten")
    (registry.folder / "adapters" / ".staging-0123").mkdir()
    (registry.folder / "adapters" / ".staging-0123" / "adapter.safetensors").write_bytes(b"half")
    assert ids(registry, "orphan") == ["dog@1", ".staging-0123", "logs/7.log"]
    plan = registry.pruner.plan(limits("orphan"))
    assert registry.pruner.carry_out(plan) == plan.bytes > 0
    assert list((registry.folder / "adapters").iterdir()) == list((registry.folder / "logs").iterdir()) == []


def test_the_log_of_a_run_that_has_just_begun_stays(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    every = registry.runs.all

    def look_and_begin() -> list[Run]:
        seen = every()
        id = registry.runs.begin("subject", "dog")  # as another process
        registry.runs.log_of(id).parent.mkdir(exist_ok=True)
        registry.runs.log_of(id).write_text("it began\n")
        return seen

    monkeypatch.setattr(registry.runs, "all", look_and_begin)
    assert ids(registry, "orphan") == []


def test_what_vanishes_while_it_is_looked_at_is_passed_over(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = publish("dog")
    folder = registry.path(dog)
    shutil.copytree(folder, registry.folder / "copy")
    registry.remove([dog])
    shutil.copytree(registry.folder / "copy", folder)

    lstat = os.lstat

    def look_and_remove(path: str | Path, **options: int) -> os.stat_result:
        seen = lstat(path, **options)
        if os.fspath(path) == str(folder):
            monkeypatch.undo()
            shutil.rmtree(folder)  # as another process's prune, at the worst moment
        return seen

    monkeypatch.setattr(os, "lstat", look_and_remove)
    plan = registry.pruner.plan(limits("orphan"))
    assert registry.pruner.carry_out(plan) == 0


def test_what_a_living_process_stages_stays(registry: Registry) -> None:
    with registry.staging() as staged:
        (staged / "adapter.safetensors").write_bytes(b"weights")
        assert ids(registry, "orphan") == []
        assert Blobs(staged.parent).drop(staged) == 0
        with Registry.open(registry.folder) as other:
            assert ids(other, "orphan") == []
            # Not even after years, as they pass when a clock is set right.
            os.utime(staged, (0, 0))
            assert ids(other, "orphan") == []
            with other.staging():
                assert staged.exists()
        assert Blobs(staged.parent).drop(staged) == 0
        assert staged.exists()


def test_without_locks_the_age_of_a_staging_folder_tells(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "lock_folder", lambda _: None)
    monkeypatch.setattr(blobs, "try_lock_folder", lambda _: None)
    with registry.staging() as staged:
        assert ids(registry, "orphan") == []
        past = time.time() - blobs.LEFTOVER_AFTER_S - 60
        os.utime(staged, (past, past))
        assert ids(registry, "orphan") == [staged.name]


@pytest.mark.databases("sqlite")
def test_adapters_of_a_lost_database_are_no_orphans(registry: Registry, publish: Publish) -> None:
    folder = registry.path(publish("dog"))
    registry.close()
    for file in registry.folder.glob("registry.sqlite3*"):
        file.unlink()
    with Registry.open(registry.folder) as blank:
        plan = blank.pruner.plan(limits("orphan", "version", "snapshot", "run"))
        assert plan.doomed == ()
        assert plan.unknown == (folder,)
        assert blank.restore(folder).id == "dog@1"
        assert blank.pruner.plan(limits("orphan")).unknown == ()


def test_caches_go_by_folder(registry: Registry, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "inner").mkdir(parents=True)
    (cache / "inner" / "file").write_bytes(b"x" * 77)
    assert prune(registry, "cache", caches=(cache, tmp_path / "none")) == 77
    assert not cache.exists()


def test_a_cache_that_is_written_while_it_goes_is_no_trouble(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    (cache / "inner").mkdir(parents=True)
    (cache / "inner" / "file").write_bytes(b"x" * 77)
    rmdir = os.rmdir

    def write_and_remove(path: str | Path, **options: int) -> None:
        monkeypatch.undo()
        (cache / "inner" / "new").touch()  # as another process, at the worst moment
        rmdir(path, **options)

    plan = registry.pruner.plan(limits("cache", caches=(cache,)))
    monkeypatch.setattr(os, "rmdir", write_and_remove)
    assert registry.pruner.carry_out(plan) == 77
    assert not (cache / "inner" / "file").exists()


def test_two_that_prune_at_once_free_everything_once(registry: Registry, publish: Publish) -> None:
    for _ in range(5):
        publish("dog", content=b"x" * 1000)
    with Registry.open(registry.folder) as other:
        plans = [opened.pruner.plan(limits("version")) for opened in (registry, other)]
        freed = [opened.pruner.carry_out(plan) for opened, plan in zip((registry, other), plans, strict=True)]
    assert freed == [plans[0].bytes, 0]
    assert names(registry.adapters()) == ["dog@5"]
    assert labels_in(registry) == {} and registry.labels(registry.find("dog")) == Labels()

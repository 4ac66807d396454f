"""What is left when publishing stops halfway, and how a lost row comes back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import Session

import registry as package
from registry import (
    Adapter,
    DamagedAdapterError,
    NameTakenError,
    NewAdapter,
    NewerRegistryError,
    Registry,
    RegistryUnavailableError,
    blobs,
    rows,
    store,
)
from registry.pruning import Limits
from tests.registry.crash_injection import killed_at_every_step

Publish = Callable[..., Adapter]
CODE = Path(package.__file__).parents[1]
TESTS = Path(__file__).parent


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `script` in a process of its own, which finds the package and this folder's conftest."""
    path = os.pathsep.join([str(CODE), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )


def forget_rows(folder: Path) -> None:
    for file in folder.glob("registry.sqlite3*"):
        file.unlink()


KILLED_BEFORE_ROW = """
import os, sys
from pathlib import Path
from conftest import new_adapter, image_source
from registry import Registry, rows
rows.insert = lambda *_: os._exit(9)
with Registry.open(Path(sys.argv[1])) as registry, registry.staging() as staged:
    (staged / "adapter.safetensors").write_bytes(b"weights")
    registry.publish(staged, new_adapter("dog"), [image_source()])
"""

PUBLISHES_25 = """
import sys
from pathlib import Path
from conftest import new_adapter, image_source
from registry import Registry
with Registry.open(Path(sys.argv[1])) as registry:
    for n in range(25):
        with registry.staging() as staged:
            (staged / "adapter.safetensors").write_bytes(sys.argv[2].encode())
            registry.publish(staged, new_adapter("dog", seed=int(sys.argv[2]) * 100 + n), [image_source()])
"""


def test_a_kill_between_files_and_row_leaves_no_row(tmp_path: Path, make_adapter: Callable[..., NewAdapter]) -> None:
    with python(KILLED_BEFORE_ROW, str(tmp_path)) as process:
        process.wait()
    assert process.returncode == 9
    with Registry.open(tmp_path) as registry:
        assert registry.adapters() == []
        with registry.staging() as staged:
            assert registry.publish(staged, make_adapter("dog"), []).id == "dog@2"
        lost = registry.restore(tmp_path / "adapters" / "dog" / "1")
        assert registry.find("dog@1") == lost
        assert registry.find("dog").version == 2
        assert (registry.path(lost) / "adapter.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_error_between_files_and_row_leaves_nothing(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(rows, "insert", fail)
        with pytest.raises((RegistryUnavailableError, KeyboardInterrupt)):
            publish("dog")
    assert registry.adapters() == []
    assert list((registry.folder / "adapters").iterdir()) == []
    assert publish("dog").id == "dog@2"


def test_an_interruption_just_after_the_row_keeps_the_files(registry: Registry, publish: Publish) -> None:
    def interrupt(*_: object) -> None:
        if (registry.folder / "adapters" / "dog" / "1").exists():
            raise KeyboardInterrupt

    event.listen(Session, "after_commit", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            publish("dog")
    finally:
        event.remove(Session, "after_commit", interrupt)
    assert [adapter.id for adapter in registry.adapters()] == ["dog@1"]
    assert (registry.path(registry.find("dog")) / "adapter.safetensors").read_bytes() == b"weights"


def test_a_kind_that_took_the_name_meanwhile_keeps_it(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure_slowly(folder: Path) -> tuple[str, int]:
        monkeypatch.undo()
        publish("dog", kind="motion")
        return blobs.measure(folder)

    monkeypatch.setattr(store, "measure", measure_slowly)
    with pytest.raises(NameTakenError):
        publish("dog", kind="subject")
    assert [(adapter.kind, adapter.id) for adapter in registry.adapters()] == [("motion", "dog@2")]
    assert [folder.name for folder in (registry.folder / "adapters").rglob("*") if folder.is_dir()] == [
        "dog",
        "2",
    ]


def test_four_processes_lose_nothing(tmp_path: Path) -> None:
    # The folder doesn't exist yet: they also race to make the database.
    home = tmp_path / "home"
    processes = [python(PUBLISHES_25, str(home), str(number)) for number in range(4)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    with Registry.open(home) as registry:
        found = registry.adapters(name="dog")
        assert [adapter.version for adapter in found] == list(range(1, 101))
        assert {adapter.seed for adapter in found} == {100 * i + n for i in range(4) for n in range(25)}
        for adapter in found:
            weights = (registry.path(adapter) / "adapter.safetensors").read_text()
            assert weights == str(adapter.seed // 100)


def test_publishing_while_the_last_version_goes_away(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish("dog")
    mkdir = Path.mkdir

    def slow_mkdir(self: Path, *arguments: object, **options: object) -> None:
        mkdir(self, *arguments, **options)  # type: ignore[arg-type]
        if self == registry.path(first).parent and registry.path(first).exists():
            blobs.Blobs(registry.folder / "adapters").remove("dog", 1)

    monkeypatch.setattr(Path, "mkdir", slow_mkdir)
    second = publish("dog")
    assert (registry.path(second) / "adapter.safetensors").exists()


def test_a_registry_can_be_rebuilt_from_its_folders(registry: Registry, publish: Publish) -> None:
    before = [publish("dog"), publish("run", kind="motion"), publish("dog", prompt="a * runs")]
    sources = [registry.sources(adapter) for adapter in before]
    registry.close()
    forget_rows(registry.folder)
    with Registry.open(registry.folder) as rebuilt:
        assert rebuilt.adapters() == []
        assert rebuilt.next_version("dog", "subject") == 3
        assert [rebuilt.restore(rebuilt.path(adapter)) for adapter in before] == before
        assert rebuilt.restore(rebuilt.path(before[0])) == before[0]
        assert rebuilt.adapters() == before
        assert [rebuilt.sources(adapter) for adapter in before] == sources


def test_only_whole_folders_in_their_place_are_restored(registry: Registry, publish: Publish) -> None:
    folder = registry.path(publish("dog"))
    elsewhere = registry.folder / "adapters" / "cat" / "1"
    shutil.copytree(folder, elsewhere)
    with pytest.raises(DamagedAdapterError, match="Move it there first"):
        registry.restore(elsewhere)
    with pytest.raises(DamagedAdapterError, match=r"no adapter\.json"):
        registry.restore(registry.folder)
    (folder / "adapter.safetensors").write_bytes(b"weighty")
    with pytest.raises(DamagedAdapterError, match="aren't those that were published as dog@1"):
        registry.restore(folder)


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({"kind": "colour"}, "kind"),
        ({"name": "../dog"}, "name"),
        ({"steps": "many"}, "steps"),
        ({"sources": 3}, "list"),
    ],
)
def test_a_damaged_document_says_what_is_wrong(
    registry: Registry, publish: Publish, change: dict[str, object], flaw: str
) -> None:
    file = registry.path(publish("dog")) / "adapter.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DamagedAdapterError, match=flaw) as caught:
        registry.restore(file.parent)
    assert str(file) in str(caught.value)


def test_a_document_that_is_no_json_or_newer_is_refused(registry: Registry, publish: Publish) -> None:
    file = registry.path(publish("dog")) / "adapter.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2}))
    with pytest.raises(NewerRegistryError, match="its format is 2"):
        registry.restore(file.parent)
    for text in (b"{", b"[]", b"\xff", b"{}"):
        file.write_bytes(text)
        with pytest.raises(DamagedAdapterError, match="is damaged"):
            registry.restore(file.parent)


def test_killed_at_any_moment_a_publish_leaves_whole_adapters_and_what_prune_removes(
    registry: Registry, publish: Publish, tmp_path: Path, make_adapter: Callable[..., NewAdapter]
) -> None:
    publish("dog")
    registry.close()
    copy = tmp_path / "copy"

    def reset() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(registry.folder, copy)

    def publish_another() -> None:
        with Registry.open(copy) as opened, opened.staging() as staged:
            (staged / "adapter.safetensors").write_bytes(b"weights")
            opened.publish(staged, make_adapter("dog"), [])

    for ended in killed_at_every_step(publish_another, reset):
        with Registry.open(copy) as opened:
            adapters = opened.adapters()
            ids = [adapter.id for adapter in adapters]
            assert ids == ["dog@1", "dog@2"] or (ids == ["dog@1"] and not ended)
            assert all(finding.state == "ok" for finding in opened.check(adapters))
            opened.pruner.carry_out(opened.pruner.plan(Limits(whats=frozenset({"orphan"}))))
            files = [path for path in (copy / "adapters").rglob("*") if path.is_file()]
            assert len(files) == 2 * len(adapters)

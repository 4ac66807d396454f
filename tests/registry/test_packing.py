"""Export and import: what goes out comes back the same, and what is wrong with a file never gets in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import (
    Adapter,
    DamagedAdapterError,
    Labels,
    NameTakenError,
    NewComposition,
    NewerRegistryError,
    PackError,
    Registry,
    UnknownNameError,
)
from registry.blobs import measure
from registry.packing import read_manifest
from registry.pruning import Limits
from tests.registry.crash_injection import killed_at_every_step

Publish = Callable[..., Adapter]


@pytest.fixture
def other(tmp_path: Path) -> Registry:
    """A second registry, blank."""
    return Registry.open(tmp_path / "other")


@pytest.fixture
def pack(registry: Registry, publish: Publish, tmp_path: Path) -> Path:
    """Two versions of a dog, one of them labelled, and a run."""
    publish("dog", content=b"one")
    registry.add_tags(publish("dog", content=b"two"), ["best"])
    publish("run", kind="motion", content=b"run" * 1000)
    file = tmp_path / "all.dvpack"
    assert registry.export(file, registry.adapters()) == file.stat().st_size
    return file


def ids(registry: Registry) -> list[str]:
    for adapter in registry.adapters():
        assert measure(registry.path(adapter)) == (adapter.file_hash, adapter.size)
    return [adapter.id for adapter in registry.adapters()]


def rewritten(pack: Path, change: Callable[[dict[str, Any]], object], extra: dict[str, bytes] | None = None) -> Path:
    """The pack with another manifest, and with more entries."""
    with zipfile.ZipFile(pack) as old:
        entries = {name: old.read(name) for name in old.namelist()} | (extra or {})
    manifest = json.loads(entries["manifest.json"])
    change(manifest)
    entries["manifest.json"] = json.dumps(manifest).encode()
    target = pack.with_name("changed.dvpack")
    with zipfile.ZipFile(target, "w") as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return target


def test_what_goes_out_comes_back_the_same(registry: Registry, other: Registry, pack: Path) -> None:
    imported = other.import_from(pack)
    assert [(each.was, each.adapter.id, each.is_new) for each in imported] == [
        ("dog@1", "dog@1", True),
        ("dog@2", "dog@2", True),
        ("run@1", "run@1", True),
    ]
    assert other.adapters() == registry.adapters()
    for adapter in registry.adapters():
        assert other.sources(adapter) == registry.sources(adapter)
        assert (other.path(adapter) / "adapter.json").read_bytes() == (
            registry.path(adapter) / "adapter.json"
        ).read_bytes()
    assert other.labels(other.find("dog@2")) == Labels(("best",))
    assert [each.is_new for each in other.import_from(pack)] == [False] * 3
    assert ids(other) == ["dog@1", "dog@2", "run@1"]
    again = pack.with_name("again.dvpack")
    other.export(again, other.adapters())
    assert again.read_bytes() == pack.read_bytes()


def test_one_of_many_under_another_name(other: Registry, pack: Path) -> None:
    assert [each.adapter.id for each in other.import_from(pack, only=["dog@2"], name="rex")] == ["rex@2"]
    assert other.labels(other.find("rex")) == Labels(("best",))
    with pytest.raises(UnknownNameError, match=r"no cat in .*There is: dog@1, dog@2, run@1"):
        other.import_from(pack, only=["dog", "cat"])
    with pytest.raises(PackError, match="several names"):
        other.import_from(pack, name="rex")
    assert ids(other) == ["rex@2"]


def test_a_number_that_is_taken_becomes_the_next_one(registry: Registry, publish: Publish, pack: Path) -> None:
    registry.remove([registry.find("dog@1")])
    publish("dog", content=b"three")
    imported = registry.import_from(pack)
    assert [(each.was, each.adapter.id, each.is_new) for each in imported] == [
        ("dog@1", "dog@4", True),
        ("dog@2", "dog@2", False),
        ("run@1", "run@1", False),
    ]
    assert [each.is_new for each in registry.import_from(pack)] == [False] * 3
    assert (registry.path(registry.find("dog@4")) / "adapter.safetensors").read_bytes() == b"one"
    assert ids(registry) == ["dog@2", "run@1", "dog@3", "dog@4"]


def test_a_name_of_the_other_kind_lets_nothing_in(
    registry: Registry, other: Registry, pack: Path, make_adapter: Callable[..., Any]
) -> None:
    with other.staging() as staged:
        (staged / "adapter.safetensors").write_bytes(b"x")
        other.publish(staged, make_adapter("run"), [])
    with pytest.raises(NameTakenError):
        other.import_from(pack)
    assert ids(other) == ["run@1"]


def test_a_whole_registry_is_backed_up_and_restored(
    registry: Registry, other: Registry, publish: Publish, tmp_path: Path
) -> None:
    registry.remove([publish("dog"), publish("dog")])
    run = publish("run", kind="motion")
    registry.add_base("zeroscope", "/models/zeroscope", fingerprint="f")
    registry.use_base("zeroscope")
    record = {"prompt": "it runs", "seed": 1, "base": {"name": "embedded"}}
    made = registry.compositions.add(NewComposition(path="/a.mp4", sha256="a", bytes=3, record=record))
    registry.export(tmp_path / "backup.dvpack")
    for _ in range(2):
        other.import_from(tmp_path / "backup.dvpack")
        assert other.adapters() == [run]
        assert other.bases() == registry.bases()
        assert other.compositions.all() == [made]
        assert other.next_version("dog", "subject") == 3


def test_videos_of_a_pack_of_before_come_with_their_adapters(
    registry: Registry, other: Registry, publish: Publish, tmp_path: Path
) -> None:
    """Its manifest is of format 1, and tells of adapters beside the record too."""
    dog = publish("dog")
    told = {"name": dog.id, "sha256": dog.file_hash}
    record = {"prompt": "a * runs", "seed": 1, "base": {"name": "embedded"}, "subject": told}
    made = registry.compositions.add(NewComposition(path="/a.mp4", sha256="a", bytes=3, record=record))
    registry.export(tmp_path / "backup.dvpack")

    def older(manifest: dict[str, Any]) -> None:
        assert manifest["format"] == 2
        manifest["format"] = 1
        more = {"subject": dog.id, "subject_hash": dog.file_hash, "motion": None, "motion_hash": None}
        manifest["compositions"][0] |= more

    other.import_from(rewritten(tmp_path / "backup.dvpack", older))
    assert other.compositions.all() == [made]
    assert other.compositions.all(adapter=dog) == [made]


def test_a_pack_without_videos_is_one_for_every_dv(pack: Path) -> None:
    with zipfile.ZipFile(pack) as opened:
        assert json.loads(opened.read("manifest.json"))["format"] == 1


def test_what_is_broken_is_not_exported(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    dog = publish("dog")
    (registry.path(dog) / "adapter.safetensors").write_bytes(b"other")
    with pytest.raises(DamagedAdapterError, match=r"dog@1 can't be exported.*dv verify"):
        registry.export(tmp_path / "dog.dvpack", [dog])
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let another process do something when an export has looked at all and begins to write."""
    zip_file = zipfile.ZipFile

    def open_after_the_change(*arguments: Any) -> zipfile.ZipFile:
        monkeypatch.undo()
        change()
        return zip_file(*arguments)

    monkeypatch.setattr("registry.packing.zipfile.ZipFile", open_after_the_change)


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(
    registry: Registry, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog, file = publish("dog"), tmp_path / "dog.dvpack"
    meanwhile(monkeypatch, lambda: file.write_text("somebody else's"))
    with pytest.raises(FileExistsError):
        registry.export(file, [dog])
    assert file.read_text() == "somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dog.dvpack", "home"]
    assert registry.export(file, [dog], replace_file=True) == file.stat().st_size
    assert read_manifest(file).adapters[0].id == "dog@1"


@pytest.mark.parametrize("labelled", [True, False])
def test_a_tag_while_it_is_exported_changes_nothing_of_the_file(
    registry: Registry, other: Registry, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    labelled: bool,
) -> None:  # fmt: skip
    dog = publish("dog")
    if labelled:
        registry.add_tags(dog, ["best"])
    meanwhile(monkeypatch, lambda: registry.add_tags(dog, ["another-tag"]))
    registry.export(tmp_path / "dog.dvpack", [dog])
    assert [each.adapter for each in other.import_from(tmp_path / "dog.dvpack")] == [dog]
    assert other.labels(dog) == Labels(("best",) if labelled else ())


@pytest.mark.parametrize("change", [lambda r: r.rename("dog", "rex"), lambda r: r.remove([r.find("dog")])])
def test_what_goes_away_while_it_is_exported_is_named_and_no_file_is_left(
    registry: Registry, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Registry], object],
) -> None:  # fmt: skip
    publish("cat"), publish("dog")
    meanwhile(monkeypatch, lambda: change(registry))
    with pytest.raises(DamagedAdapterError, match=r"dog@1 was renamed or removed while it was exported\. Try again\."):
        registry.export(tmp_path / "all.dvpack")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    "evil",
    ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:evil", "./evil", "a//evil", "", "nul\0",
     "ADAPTER.safetensors"],
)  # fmt: skip
def test_no_file_gets_out_of_its_folder(other: Registry, pack: Path, tmp_path: Path, evil: str) -> None:
    changed = rewritten(
        pack,
        lambda manifest: manifest["adapters"][0]["files"].update({evil: 4}),
        {f"0/{evil}": b"evil"} if "\0" not in evil else None,
    )
    with pytest.raises(PackError, match="damaged"):
        other.import_from(changed)
    assert not list(tmp_path.rglob("*evil*"))
    assert ids(other) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["adapters"][0].update(name="../dog"),
        lambda m: m["adapters"][0].update(name="cat"),
        lambda m: m["adapters"][0].update(version=0),
        lambda m: m["adapters"][0].update(file_hash="0" * 64),
        lambda m: m["adapters"][0]["files"].update({"adapter.safetensors": 1}),
        lambda m: m["adapters"][0]["files"].update({"adapter.safetensors": 10**12}),
        lambda m: m["adapters"][0]["files"].update({"nowhere": 1}),
        lambda m: m["adapters"][0]["files"].pop("adapter.json"),
        lambda m: m["adapters"][0].pop("files"),
        lambda m: m.update(adapters=3),
        lambda m: m.update(format=0),
        lambda m: m.pop("format"),
    ],
)
def test_a_manifest_that_lies_lets_nothing_in(
    other: Registry, pack: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(PackError, match=r"damaged|isn't a file"):
        other.import_from(rewritten(pack, change))
    assert ids(other) == []
    assert list((other.folder / "adapters").glob("*")) == []


@pytest.fixture
def emptied(registry: Registry, publish: Publish, tmp_path: Path) -> Path:
    """A backup of a registry with a dog, a base and a video; the dog and the base are gone from there since."""
    dog = publish("dog")
    registry.set_note(dog, "sharp ears")
    registry.add_base("zeroscope", "/models/zeroscope")
    record = {"prompt": "it runs", "seed": 1, "base": {"name": "embedded"}}
    registry.compositions.add(NewComposition(path="/a.mp4", sha256="a", bytes=3, record=record))
    file = tmp_path / "backup.dvpack"
    registry.export(file)
    registry.remove([dog])
    registry.remove_base("zeroscope")
    return file


def check_that_nothing_came_in(registry: Registry, file: Path) -> None:
    with pytest.raises((PackError, DamagedAdapterError), match="is damaged"):
        registry.import_from(file)
    assert registry.adapters() == [] == registry.bases()
    assert len(registry.compositions.all()) == 1
    assert registry.next_version("dog", "subject") == 2


def with_document(pack: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """The pack with another `adapter.json` or `labels.json` of its first adapter."""
    with zipfile.ZipFile(pack) as old:
        document = json.loads(old.read(f"0/{name}"))
    change(document)
    content = json.dumps(document).encode()
    return rewritten(
        pack, lambda m: m["adapters"][0]["files"].update({name: len(content)}), {f"0/{name}": content}
    )  # fmt: skip


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize(
    "change",
    [
        {"ended_at": "yesterday"},
        {"started_at": "x"},
        {"seed": 10**30},
        {"seed": -(2**63) - 1},
        {"size": 10**30},
        {"size": 5},
        {"steps": -5},
        {"steps": 2**31},
        {"final_loss": float("nan")},
        {"final_loss": float("inf")},
        {"hyperparameters": {"x": float("-inf")}},
        {"of_another_program": float("nan")},
        {"method": "\ud800"},
        {"origins": {"\ud800": 1}},
        {"prompt": "a\0b"},
    ],
)
def test_a_document_that_no_row_can_hold_lets_nothing_in(
    registry: Registry, emptied: Path, change: dict[str, object]
) -> None:
    check_that_nothing_came_in(
        registry, with_document(emptied, "adapter.json", lambda document: document.update(change))
    )


@pytest.mark.databases("sqlite", "postgresql")
def test_labels_that_no_row_can_hold_let_nothing_in(registry: Registry, emptied: Path) -> None:
    check_that_nothing_came_in(
        registry, with_document(emptied, "labels.json", lambda document: document.update(note="a\0b"))
    )


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("key", ["width", "bytes", "frames"])
def test_a_source_that_no_row_can_hold_lets_nothing_in(registry: Registry, emptied: Path, key: str) -> None:
    check_that_nothing_came_in(
        registry, with_document(emptied, "adapter.json", lambda document: document["sources"][0].update({key: 10**30}))
    )


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("compositions", {"made_at": "x"}),
        ("compositions", {"seed": 10**30}),
        ("compositions", {"bytes": 2**63}),
        ("compositions", {"prompt": "\ud800"}),
        ("compositions", {"record": {"x": float("nan")}}),
        ("compositions", {"record": {"adapters": [{"role": "motion", "name": "a\0b", "sha256": "h"}]}}),
        ("counters", {"last_version": 10**9}),
        ("counters", {"last_version": -1}),
        ("counters", {"name": "../x"}),
        ("bases", {"name": "../x"}),
        ("bases", {"name": "embedded"}),
        ("bases", {"model": "\ud800"}),
        ("bases", {"model": "a\0b"}),
    ],
)
def test_a_manifest_that_no_row_can_hold_lets_nothing_in(
    registry: Registry, emptied: Path, key: str, change: dict[str, object]
) -> None:
    check_that_nothing_came_in(registry, rewritten(emptied, lambda manifest: manifest[key][0].update(change)))


def test_a_newer_file_is_refused(other: Registry, pack: Path) -> None:
    with pytest.raises(NewerRegistryError, match="its format is 4"):
        other.import_from(rewritten(pack, lambda manifest: manifest.update(format=4)))


def test_what_is_no_pack_says_so(other: Registry, tmp_path: Path) -> None:
    texts: dict[str, bytes] = {"text": b"hello", "empty": b"", "half": b"PK\3\4" + b"\0" * 40}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("manifest.json", b" " * 1_000_000)
    texts["bomb"] = packed.getvalue()
    for name, content in texts.items():
        (tmp_path / name).write_bytes(content)
    for path in (*(tmp_path / name for name in texts), tmp_path, tmp_path / "none"):
        with pytest.raises(PackError) as caught:
            other.import_from(path)
        assert str(path) in str(caught.value)


def test_a_pipe_is_no_pack(other: Registry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackError, match="is a device or a pipe"):
        other.import_from(tmp_path / "pipe")


def test_every_damaged_byte_and_every_cut_is_found_or_harmless(registry: Registry, other: Registry, pack: Path) -> None:
    content = pack.read_bytes()
    damaged = pack.with_name("damaged.dvpack")
    before = registry.adapters()
    for number in range(120):
        place = int.from_bytes(hashlib.sha256(struct.pack("<I", number)).digest()[:4], "little") % len(content)
        flipped = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        damaged.write_bytes(content[:place] if number % 4 == 0 else flipped)
        try:
            other.import_from(damaged)
        except (PackError, NewerRegistryError, DamagedAdapterError):
            assert other.adapters() == []
        else:
            # A byte that nothing depends on: the adapters are what they were.
            assert other.adapters() == before
            other.remove(other.adapters())
            other.close()
            shutil.rmtree(other.folder)
            other = Registry.open(other.folder)
    other.close()


def test_killed_at_any_moment_an_import_leaves_only_whole_adapters(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    publish("dog", content=b"one")
    pack, home = tmp_path / "dog.dvpack", tmp_path / "copy"
    registry.export(pack, registry.adapters())
    registry.close()
    Registry.open(tmp_path / "blank").close()

    def reset() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(tmp_path / "blank", home)

    def take_in() -> None:
        with Registry.open(home) as opened:
            opened.import_from(pack)

    for ended in killed_at_every_step(take_in, reset):
        with Registry.open(home) as opened:
            assert ids(opened) in ([], ["dog@1"])
            assert not ended or ids(opened) == ["dog@1"]
            opened.pruner.carry_out(opened.pruner.plan(Limits(whats=frozenset({"orphan"}))))
            assert len([p for p in (home / "adapters").rglob("*") if p.is_file()]) == 2 * len(ids(opened))
            opened.import_from(pack)
            assert len(ids(opened)) == 1

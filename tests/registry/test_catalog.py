"""The registry to look at only: what it finds, what it makes (nothing), what it says when it can't."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import registry as package
from registry import (
    Adapter,
    Catalog,
    DamagedRegistryError,
    Labels,
    NewerRegistryError,
    Query,
    Registry,
    RegistryUnavailableError,
)
from registry.connection import open_file
from registry.location import RegistryLocation
from registry.migrating import bring_up_to_date

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


def test_it_gives_what_the_registry_itself_gives(registry: Registry, publish: Publish) -> None:
    dog, run = publish("dog", prompt="a dog's day", final_loss=float(1 / 3)), publish("run", kind="motion")
    registry.add_tags(dog, ["old", "Best"])
    registry.set_note(dog, "a note")
    with Catalog.open(registry.folder) as catalog:
        found = catalog.adapters(Query())
    assert found == [(registry.find("dog"), registry.labels(dog)), (run, Labels())]
    assert found[0][0] == dog


def test_names_and_versions(registry: Registry, publish: Publish) -> None:
    for name, kind in (("dog", "subject"), ("do_g", "subject"), ("dog", "subject"), ("déjà", "motion")):
        publish(name, kind=kind)
    registry.add_base("zeroscope", "/z")
    with Catalog.open(registry.folder) as catalog:
        assert catalog.names() == ["dog", "do_g", "déjà"]
        assert catalog.names("motion") == ["déjà"]
        assert (catalog.names(start="do"), catalog.names(start="do_"), catalog.names(start="dé")) == (
            ["dog", "do_g"], ["do_g"], ["déjà"],
        )  # fmt: skip
        assert (catalog.versions("dog"), catalog.versions("dog", "motion"), catalog.versions("x")) == ([1, 2], [], [])
        assert catalog.bases() == ["zeroscope"]
        assert (catalog.count(Query(name="dog")), catalog.count(Query(limit=1)), catalog.count(Query())) == (2, 1, 4)


@pytest.mark.databases("sqlite")
def test_where_there_is_no_registry_there_is_nothing(tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "home") as catalog:
        assert (catalog.adapters(Query()), catalog.names(), catalog.bases()) == ([], [], [])
        assert (catalog.versions("dog"), catalog.count(Query())) == ([], 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("name", ["50%20", "ü?mode=ro#x", "a b"])
def test_odd_folders_are_folders_like_any_other(tmp_path: Path, name: str) -> None:
    with Registry.open(tmp_path / name) as registry:
        registry.add_base("zeroscope", "/z")
    with Catalog.open(tmp_path / name) as catalog:
        assert catalog.bases() == ["zeroscope"]


@pytest.mark.databases("sqlite")
def test_an_old_one_is_migrated_and_a_newer_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "registry.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr("registry.migrating.REVISIONS", ("0001",))
        engine = open_file(file)
        bring_up_to_date(engine, RegistryLocation(tmp_path))
        engine.dispose()
    with Catalog.open(tmp_path) as catalog:
        assert catalog.adapters(Query(tags=("best",))) == []
    assert (tmp_path / "registry.sqlite3.revision-0001").exists()
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(NewerRegistryError, match=r"revision 0999.*Update dv"), Catalog.open(tmp_path):
        pass


@pytest.mark.databases("sqlite")
def test_a_damaged_one_is_named(tmp_path: Path, registry: Registry, publish: Publish) -> None:
    (tmp_path / "registry.sqlite3").write_bytes(b"hello, I am a text file. " * 100)
    with pytest.raises(DamagedRegistryError, match="is damaged, or isn't a registry"), Catalog.open(tmp_path):
        pass
    publish("dog")
    registry.close()
    file = registry.folder / "registry.sqlite3"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(DamagedRegistryError, match="is damaged"), Catalog.open(registry.folder) as catalog:
        catalog.adapters(Query())
    (tmp_path / "file").touch()
    with pytest.raises(RegistryUnavailableError, match="is a file"), Catalog.open(tmp_path / "file"):
        pass


@pytest.mark.databases("sqlite")
def test_the_catalog_loads_no_sqlalchemy(registry: Registry, publish: Publish) -> None:
    publish("dog")
    script = (
        "import sys, registry; from pathlib import Path\n"
        f"with registry.Catalog.open(Path({str(registry.folder)!r})) as catalog: "
        "print(len(catalog.adapters(registry.Query())))\n"
        "print(*{'sqlalchemy', 'sqlmodel', 'pydantic', 'alembic', 'engine'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(package.__file__).parents[1], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("1\n\n", "")

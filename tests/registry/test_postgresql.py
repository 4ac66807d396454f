"""What is PostgreSQL's alone: addresses, servers that aren't there, migrations with their backup, waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from registry import (
    Adapter,
    AddressError,
    Catalog,
    DamagedRegistryError,
    Labels,
    NewComposition,
    NewerRegistryError,
    Query,
    Registry,
    RegistryError,
    RegistryUnavailableError,
)
from registry.connection import open_engine
from registry.location import RegistryLocation
from registry.migrating import REVISIONS
from registry.rebuilding import damage_of, rebuild

Publish = Callable[..., Adapter]

on_server = pytest.mark.databases("postgresql")


def ask(registry: Registry, question: str) -> list[tuple[object, ...]]:
    """Ask beside the registry, as anybody may."""
    url = RegistryLocation.of(registry.folder).url
    assert url is not None
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("url", ["mysql://me:s3cret@host/dv", "postgresql://me:s3cret@host:port/dv", "dv:s3cret", "x"])
def test_what_is_no_address_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    monkeypatch.setenv("DV_REGISTRY_URL", url)
    for opened in (Registry.open, lambda folder: Catalog.open(folder).__enter__()):
        with pytest.raises(AddressError, match=r"postgresql\+psycopg://user") as caught:
            opened(tmp_path)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+psycopg://me:s3cret@127.0.0.1:9/dv", "postgresql://127.0.0.1:9/dv"),
        ("postgres://me@127.0.0.1:9/dv?password=s3cret", "postgresql://127.0.0.1:9/dv"),
        ("postgresql://me:s3%63ret@/dv?host=/nowhere/s3cret", "postgresql:///dv"),
    ],
)
def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, name: str) -> None:
    monkeypatch.setenv("DV_REGISTRY_URL", url)
    with pytest.raises(RegistryUnavailableError, match=r"can't be reached.*Check DV_REGISTRY_URL") as caught:
        Registry.open(tmp_path)
    assert name in str(caught.value)
    assert "s3cret" not in str(caught.value) and "s3%63ret" not in str(caught.value)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DV_REGISTRY_URL", "postgresql+psycopg://me@127.0.0.1:9/dv")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(AddressError, match=r"pip install 'dreamvideo-cli\[postgresql\]'"):
        Registry.open(tmp_path)


@on_server
def test_the_migrations_make_the_tables_of_the_code(registry: Registry) -> None:
    engine = open_engine(RegistryLocation.of(registry.folder))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


@on_server
def test_large_numbers_and_letters_of_any_script_come_back(registry: Registry, publish: Publish) -> None:
    dog = publish("狐", seed=-(2**63), prompt="é 🦊 \\ '")
    made = NewComposition(
        path="/a.mp4", sha256="a", bytes=2**40, record={"prompt": "x", "seed": 2**63 - 1, "base": {"name": "embedded"}}
    )
    registry.compositions.add(made)
    assert registry.find("狐") == dog
    assert registry.compositions.all()[0].bytes == 2**40
    assert not (registry.folder / "registry.sqlite3").exists()


@on_server
def test_an_old_database_is_migrated_with_copies_of_its_tables(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = "0999"
    dog = publish("dog")
    monkeypatch.setattr("registry.migrating.REVISIONS", ("0001", newest))
    ask(registry, "UPDATE alembic_version SET version_num = '0001'")
    # There is no such script: what matters is that nothing is left half done.
    with pytest.raises(Exception, match=newest):
        Registry.open(registry.folder)
    assert ask(registry, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert ask(registry, "SELECT 1 FROM pg_tables WHERE tablename LIKE 'revision!_%' ESCAPE '!'") == []
    monkeypatch.undo()
    assert registry.find("dog") == dog


@on_server
def test_a_newer_and_a_damaged_database_are_named(registry: Registry, publish: Publish) -> None:
    publish("dog")
    ask(registry, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(NewerRegistryError, match=r"revision 0999.*Update dv, or set DV_REGISTRY_URL"):
        Registry.open(registry.folder)
    ask(registry, f"UPDATE alembic_version SET version_num = '{REVISIONS[-1]}'")
    ask(registry, "DROP TABLE tags")
    with pytest.raises(DamagedRegistryError, match=r"is damaged.*empty database"), Catalog.open(registry.folder) as c:
        c.adapters(Query())


@on_server
def test_an_empty_database_is_filled_from_the_folders(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    registry.add_tags(dog, ["best"])
    registry.close()
    ask(registry, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert damage_of(registry.folder) is None
    rebuilt = rebuild(registry.folder)
    assert (rebuilt.set_aside, [adapter.id for adapter in rebuilt.restored], rebuilt.refused) == (None, ["dog@1"], ())
    with Registry.open(registry.folder) as again:
        assert (again.find("dog"), again.labels(dog)) == (dog, Labels(("best",)))
        assert again.next_version("dog", "subject") == 2


@on_server
def test_a_writer_that_holds_on_for_too_long(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = publish("dog")
    monkeypatch.setattr("registry.connection.PATIENCE_S", 0.05)
    with Registry.open(registry.folder) as other:
        with registry._database.writing() as session:
            session.connection()
            with pytest.raises(RegistryUnavailableError, match="held by another process"):
                other.remove([dog])
        assert other.adapters() == [dog]


@on_server
def test_a_connection_that_is_lost_is_made_anew(registry: Registry, publish: Publish) -> None:
    dog = publish("dog")
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
    ask(registry, kill + "current_database()")
    assert registry.find("dog") == dog
    with pytest.raises(RegistryError, match="can't be reached"), registry._database.writing() as session:
        session.connection()
        ask(registry, kill + "current_database()")
        session.connection().exec_driver_sql("SELECT 1")
    assert registry.adapters() == [dog]

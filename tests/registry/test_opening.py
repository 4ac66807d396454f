"""Where the registry is, what it costs to open, and what it says when it can't."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import registry as package
from registry import Adapter, Registry, RegistryError, RegistryUnavailableError, home
from registry.driver_errors import readable_errors
from registry.location import RegistryLocation

Publish = Callable[..., Adapter]


def test_home_is_dv_home_or_the_users_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DV_HOME", str(tmp_path / "here"))
    assert home() == tmp_path / "here"
    with Registry.open() as registry:
        assert registry.folder == tmp_path / "here"
        assert (tmp_path / "here" / "registry.sqlite3").exists()
    monkeypatch.setenv("DV_HOME", "")
    assert home().name == "dv"
    assert home().is_absolute()


@pytest.mark.parametrize("name", ["a b", "50%20", "ü?mode=ro#x", "file:x", "100%"])
def test_odd_folders_are_folders_like_any_other(tmp_path: Path, name: str) -> None:
    with Registry.open(tmp_path / name) as registry:
        registry.add_base("zeroscope", "/models/zeroscope")
    assert (tmp_path / name / "registry.sqlite3").exists()
    with Registry.open(tmp_path / name) as registry:
        assert registry.base("zeroscope").model == "/models/zeroscope"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    for folder in (tmp_path / "home", tmp_path / "home" / "inner"):
        with pytest.raises(RegistryUnavailableError, match=r"is a file.*DV_HOME") as caught:
            Registry.open(folder)
        assert str(tmp_path / "home") in str(caught.value)
    assert (tmp_path / "home").read_text() == "not a folder"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        for folder in (tmp_path, tmp_path / "inner"):
            with pytest.raises(RegistryUnavailableError, match=r"writ.*DV_HOME"):
                Registry.open(folder)
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_that_refuses_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RegistryUnavailableError, match=r"can't be written .*Read-only file system.*DV_HOME"):
        Registry.open(tmp_path / "home")


@pytest.mark.parametrize("content", [b"hello, I am a text file. " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "registry.sqlite3"
    file.write_bytes(content)
    with pytest.raises(RegistryUnavailableError, match="is damaged, or isn't a registry") as caught:
        Registry.open(tmp_path)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content


def test_a_database_that_is_damaged_further_in(registry: Registry, publish: Publish) -> None:
    for _ in range(30):
        publish("dog")
    registry.close()
    file = registry.folder / "registry.sqlite3"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    with (
        pytest.raises(RegistryUnavailableError, match="is damaged") as caught,
        Registry.open(registry.folder) as again,
    ):
        again.adapters()
    assert str(file) in str(caught.value)


def test_a_full_disk_while_publishing_leaves_nothing(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RegistryUnavailableError, match="No space is left"):
            publish("dog")
    assert registry.adapters() == []
    assert list((registry.folder / "adapters").iterdir()) == []


def test_a_full_database_says_so(registry: Registry, publish: Publish) -> None:
    publish("dog")
    with registry._database.reading() as session:
        connection = session.connection()
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RegistryUnavailableError, match="No space is left"):
        publish("dog", prompt="long " * 100_000)
    assert [adapter.id for adapter in registry.adapters()] == ["dog@1"]
    assert [folder.name for folder in (registry.folder / "adapters" / "dog").iterdir()] == ["1"]


def test_a_writer_that_holds_on_for_too_long(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = publish("dog")
    monkeypatch.setattr("registry.connection.PATIENCE_S", 0.05)
    holder = sqlite3.connect(registry.folder / "registry.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with Registry.open(registry.folder) as other:
            assert other.adapters() == [dog]
            with pytest.raises(RegistryUnavailableError, match="held by another process"):
                other.remove([dog])
    finally:
        holder.close()
    assert registry.path(dog).exists()


def test_a_log_that_another_process_puts_in_order_for_too_long_is_no_damage(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("locking protocol")
    error.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
    with (
        pytest.raises(RegistryUnavailableError, match="held by another process"),
        readable_errors(RegistryLocation(tmp_path)),
    ):
        raise error


def test_every_error_has_one_root() -> None:
    errors = [getattr(package, name) for name in package.__all__ if name.endswith("Error")]
    assert len(errors) == 10
    assert all(issubclass(error, RegistryError) for error in errors)


def test_opening_an_up_to_date_registry_loads_neither_torch_nor_alembic(registry: Registry) -> None:
    script = (
        "import sys, registry; from pathlib import Path\n"
        "early = 'sqlmodel' in sys.modules\n"
        f"registry.Registry.open(Path({str(registry.folder)!r})).adapters()\n"
        "print(early, *{'torch', 'alembic', 'engine', 'dreamvideo_cli'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(package.__file__).parents[1], capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_everything_offered_can_be_had() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_this"):
        package.nothing_like_this  # noqa: B018

"""From blank to the newest layout; what happens to an old, a newer, a half-migrated one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from registry import Adapter, NewerRegistryError, Registry, RegistryUnavailableError, migrating
from registry.connection import open_file
from registry.location import RegistryLocation

Publish = Callable[..., Adapter]

LAST_NUMBER = migrating.REVISIONS[-1]
NEXT_NUMBER = f"{int(LAST_NUMBER) + 1:04}"

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{after}"


def upgrade() -> None:
    op.add_column("adapters", sa.Column("mood", sa.String(), nullable=True))
    # Rebuilds the table that the sources' rows hang from.
    with op.batch_alter_table("adapters", recreate="always") as table:
        table.alter_column("device", nullable=True)
    {last}
"""


def ask(folder: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "registry.sqlite3")) as raw:
        return raw.execute(question).fetchall()


def offer_next_revision(monkeypatch: pytest.MonkeyPatch, folder: Path, last: str = "") -> None:
    """Pretend that this dv has one more revision."""
    scripts = folder / "100% scripts"
    shutil.copytree(migrating.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    (scripts / "versions" / f"revision_{NEXT_NUMBER}.py").write_text(
        NEXT.format(number=NEXT_NUMBER, after=LAST_NUMBER, last=last)
    )
    monkeypatch.setattr(migrating, "SCRIPTS", scripts)
    monkeypatch.setattr(migrating, "REVISIONS", (*migrating.REVISIONS, NEXT_NUMBER))


def test_from_blank_the_migrations_make_the_tables_of_the_code(registry: Registry) -> None:
    engine = open_file(registry.folder / "registry.sqlite3")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_the_code_knows_every_revision_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrating.SCRIPTS))
    newest_first = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in newest_first)[::-1] == migrating.REVISIONS


def test_an_empty_file_is_a_blank_database(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite3").touch()
    with Registry.open(tmp_path) as registry:
        assert registry.adapters() == []
    assert [file.name for file in tmp_path.iterdir()] == ["registry.sqlite3"]


def test_a_newer_database_is_refused_and_left_alone(registry: Registry, publish: Publish) -> None:
    publish("dog")
    registry.close()
    file = registry.folder / "registry.sqlite3"
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(NewerRegistryError, match=rf"revision 0999.*up to {LAST_NUMBER}.*Update dv") as caught:
        Registry.open(registry.folder)
    assert str(file) in str(caught.value)
    assert ask(registry.folder, "SELECT version_num FROM alembic_version") == [("0999",)]
    assert ask(registry.folder, "SELECT name FROM adapters") == [("dog",)]


def test_an_old_database_is_copied_then_migrated_with_all_its_rows(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dog = publish("dog")
    registry.close()
    offer_next_revision(monkeypatch, tmp_path)
    with Registry.open(registry.folder) as migrated:
        assert migrated.find("dog") == dog
        assert len(migrated.sources(dog)) == 1
    assert ask(registry.folder, "SELECT version_num FROM alembic_version") == [(NEXT_NUMBER,)]
    assert ask(registry.folder, "SELECT name, mood FROM adapters") == [("dog", None)]
    with closing(sqlite3.connect(registry.folder / f"registry.sqlite3.revision-{LAST_NUMBER}")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(LAST_NUMBER,)]
        assert copy.execute("SELECT name FROM adapters").fetchall() == [("dog",)]
    assert not list(registry.folder.glob("*.partial"))


def test_a_migration_that_fails_changes_nothing(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dog = publish("dog")
    registry.close()
    before = ask(registry.folder, "SELECT * FROM sqlite_master ORDER BY name")
    with monkeypatch.context() as patch:
        offer_next_revision(patch, tmp_path, last='op.execute("SELECT * FROM nowhere")')
        with pytest.raises(RegistryUnavailableError, match="nowhere"):
            Registry.open(registry.folder)
    assert ask(registry.folder, "SELECT * FROM sqlite_master ORDER BY name") == before
    assert ask(registry.folder, "SELECT version_num FROM alembic_version") == [(LAST_NUMBER,)]
    with Registry.open(registry.folder) as again:
        assert again.find("dog") == dog


def test_a_blank_database_goes_through_every_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer_next_revision(monkeypatch, tmp_path)
    Registry.open(tmp_path / "home").close()
    assert ask(tmp_path / "home", "SELECT version_num FROM alembic_version") == [(NEXT_NUMBER,)]
    assert not list((tmp_path / "home").glob("*revision*"))


def test_a_registry_of_the_first_revision_keeps_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows as the first dv wrote them, in plain SQL."""
    file = tmp_path / "registry.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "REVISIONS", ("0001",))
        engine = open_file(file)
        migrating.bring_up_to_date(engine, RegistryLocation(tmp_path))
        engine.dispose()
    texts = "'f', 'embedded', 'dreamvideo', '{}', '{}', 7, 'cpu', 'fp32', '{}', '2026-01-01', '2026-01-01', 3, 0.5, '0'"
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("INSERT INTO names VALUES ('dog', 'subject', 4)")
        raw.execute(f"INSERT INTO adapters VALUES (1, 'subject', 'dog', 4, {texts}, 'dog', NULL, 'h', 9)")
        raw.execute("INSERT INTO sources VALUES (1, 1, '/1.jpg', 'a', 5, 6, 7, 1, 'image')")
        raw.execute("INSERT INTO bases VALUES ('zeroscope', '/z', NULL, 'f', 1)")
    with Registry.open(tmp_path) as registry:
        (dog,) = registry.adapters()
        assert (dog.id, dog.seed, dog.steps, dog.class_word) == ("dog@4", 7, 3, "dog")
        assert [source.path for source in registry.sources(dog)] == ["/1.jpg"]
        assert registry.base("zeroscope").is_default
        assert registry.next_version("dog", "subject") == 5
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3.revision-0001")) as copy:
        assert copy.execute("SELECT count(*) FROM adapters").fetchall() == [(1,)]


def test_a_registry_of_the_second_revision_takes_suites_and_keeps_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "registry.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "REVISIONS", ("0001", "0002"))
        engine = open_file(file)
        migrating.bring_up_to_date(engine, RegistryLocation(tmp_path))
        engine.dispose()
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("INSERT INTO runs VALUES (1, 'subject', 'dog', 'h', 7, '2026-01-01T00:00:00+00:00', "
                    "'2026-01-01T00:00:00+00:00', NULL, 'finished', NULL, NULL, NULL, NULL, 'dog@1', 0)")  # fmt: skip
    with Registry.open(tmp_path) as registry:
        assert [(run.name, run.state, run.adapter) for run in registry.runs.all()] == [("dog", "finished", "dog@1")]
        assert registry.suites.all() == []
        assert registry.suites.begin("trial", "/here", 1, []) == 1
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3.revision-0002")) as copy:
        assert copy.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]


OLD_RECORD: dict[str, Any] = {
    "prompt": "a * runs",
    "seed": 7,
    "base": {"name": "embedded"},
    "subject": {"name": "dog@4", "sha256": "d" * 64},
    "motion": {"name": "run@1", "sha256": "r" * 64},
}


@pytest.mark.parametrize("until", [("0001", "0002"), ("0001", "0002", "0003")])
def test_videos_of_before_keep_their_adapters_as_a_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, until: tuple[str, ...]
) -> None:
    """Rows as dv 0.1 wrote them: a subject and a motion, one of them, none."""
    file = tmp_path / "registry.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "REVISIONS", until)
        engine = open_file(file)
        migrating.bring_up_to_date(engine, RegistryLocation(tmp_path))
        engine.dispose()
    with closing(sqlite3.connect(file)) as raw, raw:
        for number, kinds in enumerate(([], ["motion"], ["subject"], ["subject", "motion"]), 1):
            record = {key: value for key, value in OLD_RECORD.items() if key in ("prompt", "seed", "base", *kinds)}
            learnt = [record.get(kind, {}).get(key) for kind in ("subject", "motion") for key in ("name", "sha256")]
            row = [number, "2026-01-01T00:00:00+00:00", f"/{number}.mp4", "c", 5, "a * runs", 7, "embedded", *learnt]
            raw.execute(f"INSERT INTO compositions VALUES ({', '.join('?' * 13)})", [*row, json.dumps(record)])
    with Registry.open(tmp_path) as registry:
        made = registry.compositions.all()
        used = [[(each.role, each.name, each.file_hash[0]) for each in one.adapters] for one in made]
        assert used == [[], [("motion", "run@1", "r")], [("subject", "dog@4", "d")],
                        [("subject", "dog@4", "d"), ("motion", "run@1", "r")]]  # fmt: skip
        assert made[3].record == OLD_RECORD
    stored = ask(tmp_path, "SELECT composition_id, position, role, name, file_hash FROM composition_adapters")
    assert sorted(stored) == [
        (2, 0, "motion", "run@1", "r" * 64),
        (3, 0, "subject", "dog@4", "d" * 64),
        (4, 0, "subject", "dog@4", "d" * 64),
        (4, 1, "motion", "run@1", "r" * 64),
    ]

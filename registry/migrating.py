"""Brings the database to the layout that this dv knows, step by step, all or nothing."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import NewerRegistryError
from registry.looking import Ask

# A list, which loads no SQLAlchemy, asks for the revision as well.
if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

REVISIONS = ("0001", "0002")
"""Every revision in registry/migrations/versions, oldest first. Known here so that a registry that is up
to date costs one query, and never the import of Alembic."""

SCRIPTS = Path(__file__).parent / "migrations"


def bring_up_to_date(engine: Engine, file: Path) -> None:
    """Migrate the database `file`, which `engine` is on, if it is blank or old. Raises NewerRegistryError."""
    from registry.connection import asking, open_engine

    with engine.connect() as connection:
        if stored_revision(asking(connection), str(file)) == REVISIONS[-1]:
            return
    # A rebuilt table would take its dependants' rows with it if foreign keys were kept meanwhile, and
    # they can't be switched inside a transaction: hence an engine of its own.
    migrating = open_engine(file, foreign_keys=False)
    try:
        with migrating.execution_options(writes=True).begin() as connection:
            _migrate(connection, file)
    finally:
        migrating.dispose()


def _migrate(connection: Connection, file: Path) -> None:
    from registry.connection import asking

    # Asked again under the lock: another process may have been quicker.
    revision = stored_revision(asking(connection), str(file))
    if revision == REVISIONS[-1]:
        return
    if revision is not None:
        _back_up(file, revision)
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # "%" begins a reference in Alembic's settings.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    command.upgrade(config, REVISIONS[-1])


def stored_revision(ask: Ask, place: str) -> str | None:
    """Give the revision of the database at `place`, None for a blank one. Raises NewerRegistryError."""
    if not list(ask("SELECT name FROM sqlite_master WHERE name = 'alembic_version'", ())):
        return None
    revisions = [str(revision) for (revision,) in ask("SELECT version_num FROM alembic_version", ())]
    if not revisions:
        return None
    (revision,) = revisions
    if revision not in REVISIONS:
        raise NewerRegistryError(
            f"The registry {place} was written by a newer dv: its layout is revision {revision}, and this dv "
            f"knows revisions up to {REVISIONS[-1]}. Update dv, or set DV_HOME to another folder."
        )
    return revision


def _back_up(file: Path, revision: str) -> None:
    """Copy the database to `<file>.revision-<revision>` beside it, whole or not at all."""
    copy = file.with_name(f"{file.name}.revision-{revision}")
    partial = copy.with_name(f"{copy.name}.partial")
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        os.replace(partial, copy)
    finally:
        partial.unlink(missing_ok=True)

"""Brings the database to the layout that this dv knows, step by step, all or nothing."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import NewerRegistryError
from registry.location import SERVER, RegistryLocation
from registry.queries import Dialect, Execute

# A list, which loads no SQLAlchemy, asks for the revision as well.
if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision in registry/migrations/versions, oldest first. Known here so that a registry that is up
to date costs one query, and never the import of Alembic."""

SCRIPTS = Path(__file__).parent / "migrations"


def bring_up_to_date(engine: Engine, location: RegistryLocation) -> None:
    """Migrate the database at `location`, which `engine` is on, if it is blank or old. Raises NewerRegistryError."""
    from registry.connection import open_engine

    with engine.connect() as connection:
        if _revision_of(connection, location) == REVISIONS[-1]:
            return
    # A rebuilt table would take its dependants' rows with it if foreign keys were kept meanwhile, and
    # they can't be switched inside a transaction: hence an engine of its own.
    migrating = open_engine(location, foreign_keys=False)
    try:
        with migrating.execution_options(writes=True).begin() as connection:
            _migrate(connection, location)
    finally:
        migrating.dispose()


def _migrate(connection: Connection, location: RegistryLocation) -> None:
    # Asked again under the lock: another process may have been quicker.
    revision = _revision_of(connection, location)
    if revision == REVISIONS[-1]:
        return
    if revision is not None and location.url is None:
        _back_up(location.file, revision)
    elif revision is not None:
        _back_up_tables(connection, revision)
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # "%" begins a reference in Alembic's settings.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    command.upgrade(config, REVISIONS[-1])


def _revision_of(connection: Connection, location: RegistryLocation) -> str | None:
    from registry.connection import dialect_of, executor_of

    return stored_revision(executor_of(connection), dialect_of(connection), location)


def stored_revision(execute: Execute, dialect: Dialect, location: RegistryLocation) -> str | None:
    """Give the revision of the database at `location`, None for a blank one. Raises NewerRegistryError."""
    if "alembic_version" not in {name for (name,) in execute(dialect.tables, ())}:
        return None
    revisions = [str(revision) for (revision,) in execute("SELECT version_num FROM alembic_version", ())]
    if not revisions:
        return None
    (revision,) = revisions
    if revision not in REVISIONS:
        way_out = "DV_HOME to another folder" if location.url is None else f"{SERVER} to another database"
        raise NewerRegistryError(
            f"The registry {location} was written by a newer dv: its layout is revision {revision}, and this dv "
            f"knows revisions up to {REVISIONS[-1]}. Update dv, or set {way_out}."
        )
    return revision


def _back_up_tables(connection: Connection, revision: str) -> None:
    """Copy each table to `revision_<revision>_<table>` beside it: whole or not at all, as the migration itself."""
    from registry.connection import dialect_of, executor_of

    names = [name for (name,) in executor_of(connection)(dialect_of(connection).tables, ())]
    for name in sorted(name for name in names if not name.startswith("revision_")):
        copy = f"revision_{revision}_{name}"
        connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{copy}"')
        connection.exec_driver_sql(f'CREATE TABLE "{copy}" AS TABLE "{name}"')


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

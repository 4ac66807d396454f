"""Connections to the database, and what a transaction on one is."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from registry.driver_errors import PATIENCE_S
from registry.errors import AddressError
from registry.location import SERVER, RegistryLocation, reading_alone
from registry.queries import POSTGRESQL, SQLITE, Dialect, Execute

_REACHING_S = 10
"""How long to wait for a server's first word."""
_WRITERS = 0x6476
"""The number of the lock ("dv") that a server gives to one writer at a time."""


def open_engine(location: RegistryLocation, *, foreign_keys: bool = True) -> Engine:
    """Give an engine whose transactions see one moment of the database or, with `writes=True`, run beside no other
    that writes. `foreign_keys` can be left unkept on SQLite alone. Raises AddressError where the driver is missing.
    """
    return open_file(location.file, foreign_keys=foreign_keys) if location.url is None else _postgresql(location.url)


def dialect_of(connection: Connection) -> Dialect:
    """Give the dialect that a connection's plain SQL is in."""
    return POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE


def executor_of(connection: Connection) -> Execute:
    """Let plain SQL be asked on a connection of an engine's."""
    mark = "%s" if dialect_of(connection) is POSTGRESQL else "?"

    def execute(sql: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        return connection.exec_driver_sql(sql.replace("?", mark), tuple(values)).all()

    return execute


def flaws_of(connection: Connection) -> list[str]:
    """Let the database look through itself, and give what it finds; nothing where all is well.

    A server looks after its own files.
    """
    if dialect_of(connection) is not SQLITE:
        return []
    found = [str(line) for (line,) in connection.exec_driver_sql("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


def open_file(file: Path, *, foreign_keys: bool = True) -> Engine:
    """Give an engine on an SQLite file, for reading alone where nothing can be written there.

    Transactions really begin with BEGIN, or BEGIN IMMEDIATE: Python's sqlite3 begins none before a CREATE TABLE or
    a SELECT; then a migration would not be all or nothing, and a reader would not see one moment.
    """
    alone = reading_alone(file)
    url = URL.create("sqlite", database=str(file))
    if alone:
        url = URL.create("sqlite", database=f"file:{quote(str(file))}", query={**alone, "uri": "true"})
    engine = create_engine(url, connect_args={"timeout": PATIENCE_S})

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        if not alone:
            _let_readers_and_writers_be(connection)

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def _postgresql(url: str) -> Engine:
    try:
        import psycopg  # noqa: F401 - SQLAlchemy's own message would name a module, not what to install
    except ImportError as error:
        raise AddressError(
            f"{SERVER} is the address of a PostgreSQL server, and its driver isn't installed. Install it: "
            "pip install 'dreamvideo-cli[postgresql]'"
        ) from error
    # A run lives for hours, and its connections may not: each is tried before it is used again.
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _REACHING_S})

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(PATIENCE_S * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    event.listen(engine, "begin", begin)
    return engine


def _let_readers_and_writers_be(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # Switching needs a moment alone. The file remembers the mode, so whoever opens it next will do it.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise

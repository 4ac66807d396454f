"""Connections to the database, and what a transaction on one is."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from registry.looking import Ask
from registry.troubles import PATIENCE_S


def open_engine(file: Path, *, foreign_keys: bool = True) -> Engine:
    """Give an engine whose transactions really begin with BEGIN, or BEGIN IMMEDIATE with `writes=True`.

    Python's sqlite3 begins none before a CREATE TABLE or a SELECT; then a migration would not be all or
    nothing, and a reader would not see one moment.
    """
    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": PATIENCE_S})

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        _let_readers_and_writers_be(connection)

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def asking(connection: Connection) -> Ask:
    """Let plain SQL be asked on a connection of an engine's."""

    def ask(sql: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        return connection.exec_driver_sql(sql, tuple(values)).all()

    return ask


def flaws_of(connection: Connection) -> list[str]:
    """Let the database look through itself, and give what it finds; nothing where all is well."""
    found = [str(line) for (line,) in connection.exec_driver_sql("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


def _let_readers_and_writers_be(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # Switching needs a moment alone. The file remembers the mode, so whoever opens it next will do it.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise

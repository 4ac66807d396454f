"""Turns what the disk and SQLite complain about into one clear message."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import DamagedRegistryError, RegistryUnavailableError

PATIENCE_S = 30.0
"""How long a transaction waits for another process's."""

# SQLite says what ails it in the low byte of its (extended) result code.
_PRIMARY = 0xFF
_FULL = "free some space, or set DV_HOME to a folder on another disk, and try again"
_WRITABLE = "Make it writable, or set DV_HOME to a folder that you can write to."
_DAMAGED = (
    "The adapters' folders beside it are untouched, and each tells its own row: dv doctor --rebuild sets the database "
    "aside and makes it anew from them."
)


@contextmanager
def clear_errors(file: Path) -> Iterator[None]:
    """Raise RegistryUnavailableError in place of an OSError or an error of SQLite in the database `file`."""
    try:
        yield
    except OSError as error:
        raise RegistryUnavailableError(_say_disk(file.parent, error)) from error
    except Exception as error:
        # SQLAlchemy, which isn't imported for this, keeps the driver's error there.
        cause = getattr(error, "orig", error)
        # Broken constraints and wrong parameters are bugs, and stay what they are.
        if not isinstance(cause, sqlite3.Error) or type(cause) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
            raise
        raise _sqlite_error(file, cause) from error


def _say_disk(folder: Path, error: OSError) -> str:
    place = error.filename or folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space is left for the registry in {folder}: {_FULL}."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"The registry in {folder} can't be written ({place}: {error.strerror}). {_WRITABLE}"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"The registry can't be in {folder}: {place} is a file. Move it, or set DV_HOME to another folder."
    return f"The registry in {folder} can't be used ({place}: {error.strerror or error})."


def _sqlite_error(file: Path, error: sqlite3.Error) -> RegistryUnavailableError:
    said = _say_sqlite(file, error)
    if said is not None:
        return RegistryUnavailableError(said)
    return DamagedRegistryError(f"The registry {file} is damaged, or isn't a registry of dv ({error}). {_DAMAGED}")


def _say_sqlite(file: Path, error: sqlite3.Error) -> str | None:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return f"No space is left for the registry {file}: {_FULL}."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"The registry {file} can't be opened for writing ({error}). {_WRITABLE}"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"The registry {file} has been held by another process too long. Try again when it is done."
    if code == sqlite3.SQLITE_IOERR:
        return f"The registry {file} can't be read or written: the disk reports an error ({error})."
    return None

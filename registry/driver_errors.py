"""Errors of the disk, of SQLite and of PostgreSQL as one readable message each."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import DamagedRegistryError, RegistryUnavailableError
from registry.location import SERVER, RegistryLocation

PATIENCE_S = 30.0
"""How long a transaction waits for another process's."""

# SQLite says what ails it in the low byte of its (extended) result code.
_PRIMARY = 0xFF
_INDEX_BYTES = 1 << 16
"""Twice what SQLite maps beside a database first of all."""
_FULL = "free some space, or set DV_HOME to a folder on another disk, and try again"
_WRITABLE = "Make it writable, or set DV_HOME to a folder that you can write to."
_DAMAGED = (
    "The adapters' folders beside it are untouched, and each tells its own row: dv doctor --rebuild sets the database "
    "aside and makes it anew from them."
)


@contextmanager
def readable_errors(location: RegistryLocation) -> Iterator[None]:
    """Raise RegistryUnavailableError in place of an OSError or an error of the database at `location`."""
    try:
        yield
    except OSError as error:
        raise RegistryUnavailableError(_disk_message(location.folder, error)) from error
    except Exception as error:
        # SQLAlchemy, which isn't imported for this, keeps the driver's error there.
        readable = _readable_error(location, getattr(error, "orig", error))
        if readable is None:
            raise
        raise readable from error


def _readable_error(location: RegistryLocation, cause: object) -> RegistryUnavailableError | None:
    """None for broken constraints and wrong parameters: they are bugs, and stay what they are."""
    if isinstance(cause, sqlite3.Error) and type(cause) in (sqlite3.OperationalError, sqlite3.DatabaseError):
        return _sqlite_error(location.file, cause)
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(cause, psycopg.Error):
        return _postgresql_error(location, str(cause), getattr(cause, "sqlstate", None) or "")
    return None


def _disk_message(folder: Path, error: OSError) -> str:
    location = error.filename or folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space is left for the registry in {folder}: {_FULL}."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"The registry in {folder} can't be written ({location}: {error.strerror}). {_WRITABLE}"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"The registry can't be in {folder}: {location} is a file. Move it, or set DV_HOME to another folder."
    return f"The registry in {folder} can't be used ({location}: {error.strerror or error})."


def _sqlite_error(file: Path, error: sqlite3.Error) -> RegistryUnavailableError:
    message = _sqlite_message(file, error)
    if message is not None:
        return RegistryUnavailableError(message)
    return DamagedRegistryError(f"The registry {file} is damaged, or isn't a registry of dv ({error}). {_DAMAGED}")


def _is_full(folder: Path) -> bool:
    """Whether a disk has no room for the index of a write-ahead log, which SQLite calls an I/O error."""
    try:
        return shutil.disk_usage(folder).free < _INDEX_BYTES
    except OSError:
        return False


def _sqlite_message(file: Path, error: sqlite3.Error) -> str | None:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(file.parent)):
        return f"No space is left for the registry {file}: {_FULL}."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"The registry {file} can't be opened for writing ({error}). {_WRITABLE}"
    # SQLITE_PROTOCOL: the log's index was being put in order by another process, for many seconds.
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return f"The registry {file} has been held by another process too long. Try again when it is done."
    if code == sqlite3.SQLITE_IOERR:
        return f"The registry {file} can't be read or written: the disk reports an error ({error})."
    return None


def _postgresql_error(location: RegistryLocation, message: str, state: str) -> RegistryUnavailableError | None:
    """`state` is the SQLSTATE of PostgreSQL's manual, appendix A; a server that wasn't reached gives none."""
    reason = location.without_password(" ".join(message.split()))
    if state in ("42P01", "42703"):
        return DamagedRegistryError(
            f"The registry {location} is damaged, or isn't a registry of dv ({reason}). Bring it back from the "
            f"server's backup, or set {SERVER} to an empty database: dv doctor --rebuild fills that from the adapters' "
            "folders."
        )
    if state == "53100":
        return RegistryUnavailableError(f"No space is left on the server of the registry {location}. Free some there.")
    if state in ("42501", "25006"):
        return RegistryUnavailableError(
            f"The registry {location} can't be written ({reason}). Ask who runs the server."
        )
    if state == "55P03":
        return RegistryUnavailableError(
            f"The registry {location} has been held by another process too long. Try again when it is done."
        )
    # Lost connections, refused logins and missing databases, too many clients, a server that shuts down.
    if state[:2] in ("", "08", "28", "3D", "53", "57"):
        return RegistryUnavailableError(
            f"The registry {location} can't be reached ({reason}). Check {SERVER}, and that the server runs."
        )
    return None

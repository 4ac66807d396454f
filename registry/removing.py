"""The last step of removing and of renaming: a folder whose row is gone goes too."""

from __future__ import annotations

from registry import rows
from registry.blobs import Blobs
from registry.database import Database
from registry.driver_errors import readable_errors


def remove_without_row(database: Database, blobs: Blobs, name: str, version: int) -> int:
    """Remove the folder of this version unless it has a row, and give the bytes that this freed.

    Asked under the lock: another process may just have brought the row. Raises RegistryUnavailableError.
    """
    with readable_errors(database.location):
        with database.writing() as session:
            known = any(adapter.version == version for adapter in rows.listed(session, None, name))
            aside = None if known else blobs.set_aside(name, version)
        return 0 if aside is None else blobs.clear(aside)

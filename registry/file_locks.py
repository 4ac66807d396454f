"""Locks on folders (flock). The kernel releases them when the process dies, however it dies."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class FolderLock:
    """A lock on one folder, until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


def lock_folder(folder: Path) -> FolderLock | None:
    """Lock `folder`, waiting for whoever has the lock. None where the folder is gone afterwards, or can't be locked.

    A system without such locks can't lock anything; there the age of a folder has to tell.
    """
    return _lock(folder, wait=True)


def try_lock_folder(folder: Path) -> FolderLock | None:
    """Lock `folder`; None where it is gone, or where nothing can be locked.

    Raises BlockingIOError where another process has the lock: it lives, whatever the clock says.
    """
    return _lock(folder, wait=False)


def _lock(folder: Path, *, wait: bool) -> FolderLock | None:
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return FolderLock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass
    # Another process removed it while we waited, or the file system has no such locks.
    os.close(descriptor)
    return None

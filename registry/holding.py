"""Folders that a living process holds. The kernel lets go when the process dies, however it dies."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Hold:
    """A hold on one folder, until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


def hold(folder: Path) -> Hold | None:
    """Hold `folder`, waiting for whoever holds it. None where that is gone afterwards, or can't be held.

    A system without such locks can't hold anything; there the age of a folder has to tell.
    """
    return _hold(folder, wait=True)


def try_hold(folder: Path) -> Hold | None:
    """Hold `folder`; None where it is gone, or where nothing can be held.

    Raises BlockingIOError where somebody holds it: a process that lives, whatever the clock says.
    """
    return _hold(folder, wait=False)


def _hold(folder: Path, *, wait: bool) -> Hold | None:
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return Hold(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass
    # Another process removed it while we waited, or the file system has no such locks.
    os.close(descriptor)
    return None

"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InputError

# What file systems without links answer when asked for one.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EXDEV})


class FileThereError(InputError):
    """A file is where one was to be made, and may not be replaced."""


def check_replaceable(path: Path) -> None:
    """Raise InputError where `path` is a device, a pipe or a socket: a file must not take its place."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is no file that can be replaced. Name another.")


def check_may_write(path: Path) -> None:
    """Raise InputError where `path`, a folder or a file that is there, may not be written into."""
    if not os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.W_OK):
        thing = "folder" if path.is_dir() else "file"
        raise InputError(f"you may not write into the {thing} {path}: choose another, or change its permissions")


@contextmanager
def written_aside(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    On any error the temporary file is removed and `path` stays as it was. Raises InputError for a device, a pipe or a
    socket and, without `replace`, FileThereError for any file that is there at the end.
    """
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            _publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path) -> None:
    """Give a finished file its name, unless something has it."""
    try:
        try:
            os.link(partial, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Taken with an empty file first, which nobody else can do at the same time.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            partial.replace(path)
    except FileExistsError:
        raise FileThereError(f"{path} exists: choose another name, or replace it with `force`") from None

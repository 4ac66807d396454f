"""Folders that jobs leave their results in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import InputError
from engine.files import check_may_write


def make_folder(folder: Path) -> None:
    """Make a folder for results, where it isn't there yet; the one that it lies in must be.

    Raises `InputError` where it can't be made, or may not be written into.
    """
    if not folder.exists() and folder.parent.is_dir():
        check_may_write(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise InputError(f"{folder} is a file: choose another name with `folder`") from None
    except FileNotFoundError:
        raise InputError(f"there is no folder {folder.parent} to make {folder.name} in: create it first") from None
    check_may_write(folder)


@contextmanager
def working_in(folder: Path, thing: str, *, writes: Sequence[str] = ()) -> Iterator[None]:
    """Make the folder of a batch or a suite (`thing`) for as long as something is in it, and keep other processes out.

    `writes` are files and folders in it that the work adds to. Raises `InputError` where the folder can't be made,
    where it or one of these may not be written into, and where another process works there.
    """
    from filelock import FileLock, Timeout

    lock_name = f".{thing}.lock"
    made = not folder.exists()
    make_folder(folder)
    for path in (folder / name for name in (lock_name, *writes)):
        if path.exists():
            check_may_write(path)
    lock = FileLock(folder / lock_name, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process works on the {thing} in {folder}: wait for it, or give `folder`") from None
    try:
        yield
    finally:
        # Somebody may have removed the folder meanwhile.
        with suppress(OSError):
            if made and [path.name for path in folder.iterdir()] == [lock_name]:
                (folder / lock_name).unlink()
                folder.rmdir()
        lock.release()

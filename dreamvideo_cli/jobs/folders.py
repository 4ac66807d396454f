"""Folders that jobs leave their results in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.files import check_may_write

if TYPE_CHECKING:
    from filelock import BaseFileLock

_OTHER_PARTS_S = 5.0
"""How long the starts of other parts may keep one from starting, on a busy machine."""


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
def working_in(folder: Path, thing: str, *, part: str | None = None, writes: Sequence[str] = ()) -> Iterator[None]:
    """Make the folder of a batch or a suite (`thing`) for as long as something is in it, and keep other processes out.

    A process that works on a `part` leaves those in that work on others. `writes` are files and folders in it that the
    work adds to. Raises `InputError` where the folder can't be made, where it or one of these may not be written into,
    and where another process works there.
    """
    made = not folder.exists()
    make_folder(folder)
    for path in (folder / name for name in (f".{thing}.lock", *writes)):
        if path.exists():
            check_may_write(path)
    with _alone_in(folder, thing, part):
        try:
            yield
        finally:
            if made:
                _remove_if_unused(folder, thing, part)


@contextmanager
def _alone_in(folder: Path, thing: str, part: str | None) -> Iterator[None]:
    """Hold the folder, or a part: of a part it is held for as long only as it takes to see that nobody has it all."""
    from filelock import FileLock

    whole = FileLock(folder / f".{thing}.lock", timeout=0 if part is None else _OTHER_PARTS_S)
    with ExitStack() as held:
        if part is None:
            held.enter_context(_locked(whole, folder, thing))
            for path in sorted(folder.glob(f".{thing}-*.lock")):
                held.enter_context(_locked(FileLock(path, timeout=0), folder, thing))
        else:
            with _locked(whole, folder, thing):
                held.enter_context(_locked(FileLock(folder / f".{thing}-{part}.lock", timeout=0), folder, thing))
        yield


@contextmanager
def _locked(lock: BaseFileLock, folder: Path, thing: str) -> Iterator[None]:
    from filelock import Timeout

    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process works on the {thing} in {folder}: wait for it, or give `folder`") from None
    try:
        yield
    finally:
        lock.release()


def _remove_if_unused(folder: Path, thing: str, part: str | None) -> None:
    """Remove a folder in which nothing but the lock of the work that ends is."""
    from filelock import FileLock, Timeout

    whole = folder / f".{thing}.lock"
    locks = {whole} | ({folder / f".{thing}-{part}.lock"} if part is not None else set())
    # Somebody may have removed the folder meanwhile, or begun to work in it.
    with suppress(OSError, Timeout), FileLock(whole, timeout=0) if part is not None else nullcontext():
        if set(folder.iterdir()) <= locks:
            for lock in locks:
                lock.unlink(missing_ok=True)
            folder.rmdir()

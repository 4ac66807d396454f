"""Adapters' folders on disk: put in place whole or not at all, taken away whole."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from registry.file_locks import FolderLock, lock_folder, try_lock_folder

DOCUMENT = "adapter.json"
LABELS = "labels.json"
STEP_DOCUMENT = "step.json"
UNHASHED = (DOCUMENT, LABELS, STEP_DOCUMENT)
"""What stands beside an adapter's files and isn't counted: it states the hash, or changes after publishing."""
LEARNING = "learning"
"""A folder beside an adapter's files, of how it was learnt: curves, previews, kept steps. Not counted either."""
BASES = "bases"
"""The folder beside the adapters' with the bases that were tuned here: `<name>/<number>`, as theirs."""

STAGING = ".staging-"
LEFTOVER_AFTER_S = 7 * 24 * 3600.0
"""Where nothing can be held, a staging folder that nobody touched for a week is a killed process's."""

_CHUNK = 1 << 20
_NUMBER = re.compile("[1-9][0-9]{0,8}")
"""A version's folder; what has a longer name, or 007, isn't one of this registry's."""


class Blobs:
    """The folders `<root>/<name>/<version>`, and the staging folders beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._held: dict[Path, FolderLock] = {}

    def folder(self, name: str, version: int) -> Path:
        return self.root / name / str(version)

    def newest_version(self, name: str) -> int:
        """Give the highest number that a folder of this name has, 0 where there is none."""
        try:
            entries = os.listdir(self.root / name)
        except FileNotFoundError:
            return 0
        return max((int(entry) for entry in entries if _NUMBER.fullmatch(entry)), default=0)

    def numbers(self) -> list[tuple[str, int]]:
        """Give name and version of every folder that lies where an adapter's folder would."""
        folders = (folder for name in _folders(self.root) if not name.startswith(STAGING) for folder in self._of(name))
        return sorted(folders)

    def new_staging(self) -> Path:
        """Make an empty folder on the same file system, held by this process until it is discarded."""
        while True:
            folder = self._staging_path()
            folder.mkdir(parents=True)
            held = lock_folder(folder)
            if held is not None:
                self._held[folder] = held
            # A sweep may have come between the two, and taken the folder for a dead process's.
            if folder.exists():
                return folder

    def discard(self, staged: Path) -> None:
        """Remove a staging folder, if it wasn't placed."""
        shutil.rmtree(staged, ignore_errors=True)
        held = self._held.pop(staged, None)
        if held is not None:
            held.release()

    def leftovers(self) -> list[Path]:
        """Give the staging folders of processes that died: nobody holds them, or nobody can, and for a week nobody
        touched them."""
        found = []
        for folder in sorted(self.root.glob(f"{STAGING}*")):
            with suppress(BlockingIOError):
                held = try_lock_folder(folder)
                if held is not None or _is_old(folder):
                    found.append(folder)
                if held is not None:
                    held.release()
        return found

    def sweep(self) -> None:
        """Remove the staging folders that nobody holds and nobody has touched for a week."""
        for folder in self.root.glob(f"{STAGING}*"):
            if _is_old(folder):
                self.drop(folder)

    def drop(self, leftover: Path) -> int:
        """Remove a leftover, unless a process holds it meanwhile, and give the bytes that this freed."""
        try:
            held = try_lock_folder(leftover)
        except BlockingIOError:
            return 0
        if held is None and not _is_old(leftover):
            return 0
        freed = bytes_on_disk(leftover)
        shutil.rmtree(leftover, ignore_errors=True)
        if held is not None:
            held.release()
        return freed

    def move_in(self, staged: Path, name: str, version: int) -> Path:
        """Rename `staged` to the folder of this version, durably."""
        folder = self.folder(name, version)
        while True:
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                staged.rename(folder)
                break
            except FileNotFoundError:
                # Another process removed the name's last version in between, and the empty folder with it.
                if not staged.exists():
                    raise
        for parent in (folder.parent, self.root):
            sync_folder(parent)
        return folder

    def take_back(self, folder: Path, staged: Path) -> None:
        """Undo `move_in`."""
        folder.rename(staged)
        self._drop_if_empty(folder.parent)

    def remove(self, name: str, version: int) -> int:
        """Remove the folder of this version, if it is there, and give the bytes that this freed."""
        aside = self.set_aside(name, version)
        return 0 if aside is None else self.clear(aside)

    def set_aside(self, name: str, version: int) -> Path | None:
        """Take the folder of this version out of its place, for `clear`; None where there is none."""
        folder = self.folder(name, version)
        aside = self._moved_aside(folder)
        if aside is not None:
            self._drop_if_empty(folder.parent)
        return aside

    def _moved_aside(self, folder: Path) -> Path | None:
        aside = self._staging_path()
        try:
            # Touched, so that no other process takes it for an old leftover and sweeps it meanwhile.
            os.utime(folder)
            # Renamed first, so that nobody meets a folder that is half gone.
            folder.rename(aside)
        except FileNotFoundError:
            return None
        return aside

    def remove_inside(self, folder: Path) -> int:
        """Remove a folder that lies in an adapter's, if it is there, and give the bytes that this freed."""
        aside = self._moved_aside(folder)
        return 0 if aside is None else self.clear(aside)

    def clear(self, aside: Path) -> int:
        """Remove what was set aside, and give the bytes that this freed."""
        return delete(aside)

    def _of(self, name: str) -> list[tuple[str, int]]:
        return [(name, int(entry)) for entry in _folders(self.root / name) if _NUMBER.fullmatch(entry)]

    def _staging_path(self) -> Path:
        # Not tempfile.mkdtemp: its folders are closed to others, and a published one is only renamed.
        return self.root / f"{STAGING}{secrets.token_hex(8)}"

    @staticmethod
    def _drop_if_empty(folder: Path) -> None:
        with suppress(OSError):
            folder.rmdir()


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_in(folder: Path) -> list[Path]:
    """Give all files below `folder`, by their relative names. Raises ValueError for a link or a device."""
    entries = sorted(folder.rglob("*"), key=lambda entry: entry.relative_to(folder).as_posix())
    for entry in entries:
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise ValueError(f"{entry} is neither a plain file nor a folder")
    return [entry for entry in entries if entry.is_file()]


def is_counted(name: str) -> bool:
    """Whether a file of this relative name is one of those that make an adapter what it is."""
    return name not in UNHASHED and not name.startswith(f"{LEARNING}/")


def measure(folder: Path) -> tuple[str, int]:
    """Give the SHA-256 over the names and contents of the folder's files, and their bytes.

    What isn't counted is left out: documents, and `learning/`. Lengths go into the hash before what they measure, so
    that no two folders look alike.
    """
    digest = hashlib.sha256()
    total = 0
    for file in files_in(folder):
        name = file.relative_to(folder).as_posix()
        if not is_counted(name):
            continue
        size = file.stat().st_size
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "big") + encoded + size.to_bytes(8, "big"))
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
        total += size
    return digest.hexdigest(), total


def link_or_copy(file: Path, target: Path) -> None:
    """Make `target` the same as `file`, at no cost where the disk has hard links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)


def sync(folder: Path) -> None:
    """Flush every file below `folder`, and the folders that name them, to the disk."""
    for file in files_in(folder):
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for inner in (entry for entry in folder.rglob("*") if entry.is_dir()):
        sync_folder(inner)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries to the disk, where the system can (Windows can't)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _is_old(staged: Path) -> bool:
    return last_touched(staged) < time.time() - LEFTOVER_AFTER_S


def last_touched(path: Path) -> float:
    """Give the time of the newest change to a file or folder, or below it, in seconds since 1970; 0 for one that
    is gone. What another process removes meanwhile counts no more."""
    times = [0.0]
    # os.walk gives nothing for a file, and passes over folders that are gone.
    inner = (os.path.join(folder, each) for folder, folders, files in os.walk(path) for each in (*folders, *files))
    for each in (str(path), *inner):
        with suppress(FileNotFoundError):
            times.append(os.lstat(each).st_mtime)
    return max(times)


def delete(path: Path) -> int:
    """Remove a file or a folder, and give the bytes that this freed. What another process removes meanwhile is gone
    all the same; what it adds meanwhile may stay, with the folders that hold it."""
    freed = bytes_on_disk(path)
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return freed
    try:
        shutil.rmtree(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
        shutil.rmtree(path, ignore_errors=True)
    return freed


def bytes_on_disk(path: Path) -> int:
    """Give the bytes that go with a file or folder: a file that is linked from elsewhere as well stays."""
    inner = [os.path.join(folder, file) for folder, _, files in os.walk(path) for file in files]
    total = 0
    for file in inner if path.is_dir() else [path]:
        with suppress(FileNotFoundError):
            stat = os.lstat(file)
            total += stat.st_size if stat.st_nlink == 1 else 0
    return total

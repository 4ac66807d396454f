"""Values that name files, carried to machines that may not have these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Mark:
    """A file, or a folder with its files: by which another machine sees whether it has the same at the same place.

    `files` are relative paths, sizes in bytes, and times of the last change in nanoseconds; a file's own is `.`.
    """

    path: Path
    files: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Parcel:
    """A value whose paths under `root` are to be somewhere else, and the `contents` of the files there, by relative
    path."""

    value: object
    root: Path
    contents: Mapping[str, bytes]


def mark_of(path: Path) -> Mark:
    """The mark of a file or folder. Raises `OSError` for one that isn't there."""
    absolute = path.absolute()
    stats = {file: (absolute / file).stat() for file in _files(absolute)}
    return Mark(absolute, tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats.items()))


def is_here(mark: Mark) -> bool:
    """Whether this machine has the same at the same place."""
    try:
        return mark_of(mark.path) == mark
    except OSError:
        return False


def contents_of(path: Path) -> dict[str, bytes]:
    """The contents of a file or of a folder's files, by relative path."""
    return {file: (path / file).read_bytes() for file in _files(path)}


def put(contents: Mapping[str, bytes], path: Path) -> None:
    """Make a file or a folder of contents."""
    for file, content in contents.items():
        place = path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _files(path: Path) -> list[str]:
    if path.is_file():
        return ["."]
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


def moved(value: T, move: Callable[[Path], Path]) -> T:
    """The value with other paths in it, wherever they are; what has none stays the same object."""
    new: T = _moved(value, move)
    return new


def _moved(value: Any, move: Callable[[Path], Path]) -> Any:
    if isinstance(value, Path):
        return move(value)
    if is_dataclass(value) and not isinstance(value, type):
        old = {field.name: getattr(value, field.name) for field in fields(value)}
        changed = {name: new for name, part in old.items() if (new := _moved(part, move)) is not part}
        return replace(value, **changed) if changed else value
    if type(value) in (tuple, list):
        parts = [_moved(part, move) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else type(value)(parts)
    if type(value) is dict:
        items = {name: _moved(part, move) for name, part in value.items()}
        return value if all(items[name] is value[name] for name in items) else items
    return value


def paths_in(value: object) -> Iterator[Path]:
    """All paths that a value names."""
    found: list[Path] = []

    def note(path: Path) -> Path:
        found.append(path)
        return path

    _moved(value, note)
    yield from found


def packed(value: object, root: Path) -> Parcel:
    """A value with the contents of what it names under `root`."""
    contents: dict[str, bytes] = {}
    for path in paths_in(value):
        if path.is_relative_to(root):
            place = path.relative_to(root)
            contents |= {(place / file).as_posix(): content for file, content in contents_of(path).items()}
    return Parcel(value, root, contents)


def unpacked(parcel: Parcel, folder: Path) -> object:
    """The value, and the files that it names, in `folder`."""
    put(parcel.contents, folder)
    root = parcel.root
    return moved(parcel.value, lambda path: folder / path.relative_to(root) if path.is_relative_to(root) else path)

"""One portable file with adapters in it, or the whole registry: written whole, taken in only when all is right.

The file is a ZIP without compression (weights don't shrink). Its first entry, `manifest.json`, lists every
adapter with its files' sizes; the files lie at `<number>/<name>`, and nothing else is read.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from registry.blobs import DOCUMENT, UNHASHED, Blobs, files_in, is_counted, measure
from registry.errors import DamagedAdapterError, NewerRegistryError, PackError
from registry.names import EMBEDDED, LARGEST_VERSION, is_name
from registry.records import Adapter, BaseRow, Composition, Kind
from registry.validation import check_json, check_row

FORMAT = 3
"""Format 1 tells of a video's adapters beside its record, and 2 knows no `learning/`, which an adapter's hash leaves
out. What needs less is written in those."""
MANIFEST = "manifest.json"
_NO_PACK = (
    zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
"""What zipfile raises for files that are none, are cut short, encrypted, or of a kind that we never write."""
_LARGEST_MANIFEST = 256 << 20
_CHUNK = 1 << 20
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The same adapters give the same file: entries carry no times."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One adapter in a pack: its files by relative name, with their bytes."""

    name: str
    version: int
    file_hash: str
    files: dict[str, int]

    @property
    def id(self) -> str:
        """Name and version at the time of packing."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A name that was used, and up to which number."""

    name: str
    kind: Kind
    last_version: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a pack says of itself. Of a whole registry it has bases, names' counters and videos as well."""

    adapters: tuple[Packed, ...]
    bases: tuple[BaseRow, ...] = ()
    counters: tuple[Counter, ...] = ()
    compositions: tuple[Composition, ...] = ()


def write(
    blobs: Blobs, target: Path, adapters: Sequence[Adapter], whole: Manifest | None = None, *, replace_file: bool
) -> int:
    """Write a pack to `target`, whole or not at all, and give its bytes.

    `whole` has what a whole registry has beside its adapters. Raises DamagedAdapterError for an adapter whose
    files aren't what was published, as a backup of something broken would be no backup, and FileExistsError where
    there is a file that isn't to be replaced.
    """
    read = [_packed(blobs.folder(adapter.name, adapter.version), adapter) for adapter in adapters]
    manifest = replace(whole or Manifest(adapters=()), adapters=tuple(each for each, _ in read))
    with _written_aside(target, replace_file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as pack:
        document = {"format": _needed(manifest), **asdict(manifest)}
        pack.writestr(zipfile.ZipInfo(MANIFEST, _MOMENT), json.dumps(document, indent=2))
        for number, (each, documents) in enumerate(read):
            folder = blobs.folder(each.name, each.version)
            for name, size in each.files.items():
                if name in documents:
                    pack.writestr(zipfile.ZipInfo(f"{number}/{name}", _MOMENT), documents[name])
                else:
                    _add(pack, f"{number}/{name}", folder / name, size, each.id)
    return target.stat().st_size


def _needed(manifest: Manifest) -> int:
    """The lowest format that tells all of a pack."""
    names = (name for each in manifest.adapters for name in each.files)
    if any(name not in UNHASHED and not is_counted(name) for name in names):
        return 3
    return 2 if manifest.compositions else 1


def read_manifest(file: Path) -> Manifest:
    """Read what a pack holds. Raises PackError, and NewerRegistryError for one that a newer dv wrote."""
    with _opened(file) as pack:
        return _manifest(file, pack)


@contextmanager
def unpacked(blobs: Blobs, file: Path, chosen: Callable[[Packed], bool]) -> Iterator[list[tuple[Packed, Path]]]:
    """Give staging folders with the files of the adapters `chosen`, each checked against its hash.

    All are right before the first is given. Raises PackError and NewerRegistryError.
    """
    with ExitStack() as stack:
        staged: list[tuple[Packed, Path]] = []
        with _opened(file) as pack:
            for number, each in enumerate(_manifest(file, pack).adapters):
                if chosen(each):
                    folder = blobs.new_staging()
                    stack.callback(blobs.discard, folder)
                    _extract(file, pack, number, each, folder)
                    staged.append((each, folder))
        yield staged


def _packed(folder: Path, adapter: Adapter) -> tuple[Packed, dict[str, bytes]]:
    """What the manifest says of an adapter, and its documents. Those are read once: `dv tag` may replace one
    before it would be read again, and then its length would be another."""
    try:
        if measure(folder) != (adapter.file_hash, adapter.size) or not (folder / DOCUMENT).is_file():
            raise ValueError("they aren't those that were published")
        found = {file.relative_to(folder).as_posix(): file for file in files_in(folder)}
        documents = {name: file.read_bytes() for name, file in found.items() if name in UNHASHED}
        files = {
            name: len(documents[name]) if name in documents else file.stat().st_size for name, file in found.items()
        }
    except (OSError, ValueError) as error:
        raise DamagedAdapterError(
            f"{adapter.id} can't be exported: something is wrong with its files ({error}). See: dv verify"
        ) from error
    packed = Packed(name=adapter.name, version=adapter.version, file_hash=adapter.file_hash, files=files)
    return packed, documents


def _add(pack: zipfile.ZipFile, name: str, file: Path, size: int, owner: str) -> None:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.file_size = size
    try:
        source = file.open("rb")
    except FileNotFoundError as error:
        raise DamagedAdapterError(f"{owner} was renamed or removed while it was exported. Try again.") from error
    with source, pack.open(info, "w") as entry:
        while chunk := source.read(_CHUNK):
            entry.write(chunk)


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if file.exists() and not file.is_file() and not file.is_dir():
            raise PackError(f"{file} is a device or a pipe. Give a file that dv export wrote.")
        opened = file.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PackError(f"There is no file {file}. Check the name.") from error
    except IsADirectoryError as error:
        raise PackError(f"{file} is a folder. Give a file that dv export wrote.") from error
    except OSError as error:
        raise PackError(f"{file} can't be read: {error.strerror}.") from error
    with opened:
        try:
            with zipfile.ZipFile(opened) as pack:
                yield pack
        except _NO_PACK as error:
            raise PackError(f"{file} is damaged, or isn't a file that dv export wrote ({error}).") from error
        except OSError as error:
            # A seek to where no file has bytes; anything else is the disk's trouble.
            if error.errno != errno.EINVAL:
                raise
            raise PackError(f"{file} is damaged: it points outside itself.") from error


def _manifest(file: Path, pack: zipfile.ZipFile) -> Manifest:
    from pydantic import TypeAdapter, ValidationError

    try:
        info = _entry(pack, MANIFEST)
        if info.file_size > _LARGEST_MANIFEST:
            raise PackError(f"{file} is damaged: its list of contents is too long.")
        document = json.loads(pack.read(info))
        written = document.pop("format")
    except KeyError as error:
        raise PackError(f"{file} isn't a file that dv export wrote: it has no {error}.") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise PackError(f"{file} is damaged ({error}).") from error
    if isinstance(written, int) and written > FORMAT:
        raise NewerRegistryError(
            f"{file} was written by a newer dv: its format is {written}, and this dv knows up to {FORMAT}. Update dv."
        )
    try:
        if not isinstance(written, int) or written < 1:
            raise ValueError(f"its format is {written!r}")
        manifest = TypeAdapter(Manifest).validate_python(document)
        check_json(document)
        for each in manifest.adapters:
            _check(each)
        for row in (*manifest.bases, *manifest.counters, *manifest.compositions):
            check_row(vars(row))
        for adapter in (each for made in manifest.compositions for each in made.adapters):
            check_row(vars(adapter))
        _check_names(manifest)
    except (ValidationError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise PackError(f"{file} is damaged ({reason}).") from error
    return manifest


def _entry(pack: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Raises KeyError where there is none, and ValueError for a compressed one, which may swell to any size."""
    info = pack.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return info


def _check_names(manifest: Manifest) -> None:
    """Raise ValueError for a base's or an adapter's name that none may have, or a number that no version may have."""
    for base in manifest.bases:
        if not is_name(base.name) or base.name == EMBEDDED:
            raise ValueError(f"{base.name!r} is no base's name")
    for counter in manifest.counters:
        if not is_name(counter.name) or counter.last_version > LARGEST_VERSION:
            raise ValueError(f"{counter.name}@{counter.last_version} is no adapter's name")


def _check(packed: Packed) -> None:
    """Raise ValueError for anything that could lead out of an adapter's folder, or to two files of one name."""
    if not is_name(packed.name) or not 0 < packed.version <= LARGEST_VERSION:
        raise ValueError(f"{packed.id!r} is no adapter's name")
    for name in packed.files:
        parts = PurePosixPath(name).parts
        plain = parts and name == "/".join(parts) and not any(part in (".", "..") for part in parts)
        if not plain or name.startswith("/") or any(mark in name for mark in "\\:\0"):
            raise ValueError(f"{name!r} is no file's name")
    if DOCUMENT not in packed.files or not any(map(is_counted, packed.files)):
        raise ValueError(f"{packed.id} has no files")
    if len({name.casefold() for name in packed.files}) != len(packed.files):
        raise ValueError(f"{packed.id} has a file twice")


def _extract(file: Path, pack: zipfile.ZipFile, number: int, packed: Packed, folder: Path) -> None:
    for name, size in packed.files.items():
        try:
            info = _entry(pack, f"{number}/{name}")
        except KeyError as error:
            raise PackError(f"{file} is damaged: of {packed.id} it lacks {name}.") from error
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        left = size
        with pack.open(info) as entry, target.open("xb") as copy:
            # One byte more than announced is enough to know.
            while left >= 0 and (chunk := entry.read(min(_CHUNK, left + 1))):
                left -= len(chunk)
                copy.write(chunk)
        if left != 0:
            raise PackError(f"{file} is damaged: {name} of {packed.id} isn't as long as it says.")
    if measure(folder)[0] != packed.file_hash:
        raise PackError(f"{file} is damaged: the files of {packed.id} aren't those that were exported.")


@contextmanager
def _written_aside(target: Path, replace_file: bool) -> Iterator[Path]:
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if not replace_file:
            # Taken with an empty file first, which nobody else can do at the same time.
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)

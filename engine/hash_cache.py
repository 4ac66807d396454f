"""What takes long to work out and is kept in the user's cache: hashes of large files, by what tells that the files are
still the same, and tensors by a hash of what they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from engine.files import written_aside

if TYPE_CHECKING:
    from torch import Tensor


def cache_folder(kind: str) -> Path:
    """Where what is kept of a kind lies. `dv prune --caches` may take it away at any time."""
    return user_cache_path("dv") / kind


def stamps_of(files: Sequence[tuple[str, Path]]) -> list[tuple[str, str, int, int]]:
    """What tells that files, each with what it is for, are still the same: path, size and modification time."""
    found = [(role, file, file.stat()) for role, file in files]
    return [(role, str(file), stat.st_size, stat.st_mtime_ns) for role, file, stat in found]


def cached_hash(files: Sequence[tuple[str, Path]], work: Callable[[], str]) -> str:
    """The hash that `work` makes of files, each with what it is for. Kept by their stamps."""
    kept = cache_folder("fingerprints") / hashlib.sha256(json.dumps(stamps_of(files)).encode()).hexdigest()
    try:
        return kept.read_text(encoding="ascii")
    except OSError:
        # Not asked for before: `dv prune --caches` may take it away in between.
        value = work()
    try:
        with written_aside(kept) as partial:
            partial.write_text(value, encoding="ascii")
    except OSError:
        pass  # A cache that can't be written only costs time.
    return value


def cached_tensor(kind: str, key: str, shape: tuple[int, ...], work: Callable[[], Tensor]) -> Tensor:
    """The tensor of a `shape` that `work` makes, kept under the hash `key` of all that it depends on."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    kept = cache_folder(kind) / f"{key}.safetensors"
    try:
        found = load_file(kept)["value"]
        if tuple(found.shape) == shape:
            return found
    except (OSError, KeyError, SafetensorError):
        pass  # not there, or damaged
    value = work()
    try:
        with written_aside(kept) as partial:
            save_file({"value": value.contiguous()}, partial)
    except OSError:
        pass  # A cache that can't be written only costs time.
    return value

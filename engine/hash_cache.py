"""Hashes of large files, worked out once: kept in the user's cache by what tells that the files are still the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import user_cache_path

from engine.files import written_aside


def cached_hash(files: Sequence[tuple[str, Path]], work: Callable[[], str]) -> str:
    """The hash that `work` makes of files, each with what it is for.

    Kept by path, size and modification time of the files, and by what they are for.
    """
    stamps = [(role, str(file), file.stat().st_size, file.stat().st_mtime_ns) for role, file in files]
    kept = user_cache_path("dv") / "fingerprints" / hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
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

"""Where a judge's files lie, and a hash of them: two judges of one hash are the same judge."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from engine.bases.hub import local_folder
from engine.bases.weights import weights_of
from engine.data.files import sha256_of
from engine.hash_cache import cached_hash


def judge_folder(model: str | Path) -> Path:
    """The folder of a judge, which is given as one or as a hub id, and fetched if need be. Raises `BaseError`."""
    return local_folder(str(model))


def judge_digest(model: str | Path) -> str:
    """Hex SHA-256 of the names and contents of a judge's weights, configs and vocabulary, wherever they lie.

    Cached by path, size and modification time. Raises `BaseError` where there are no weights.
    """
    folder = judge_folder(model)
    others = (file for pattern in ("*.json", "*.txt") for file in sorted(folder.glob(pattern)))
    files = [*weights_of(folder).paths, *(file for file in others if not file.name.startswith("open_clip"))]

    def whole() -> str:
        return hashlib.sha256(json.dumps([(file.name, sha256_of(file)) for file in files]).encode()).hexdigest()

    return cached_hash([("judge", file) for file in files], whole)

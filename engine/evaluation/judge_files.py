"""Where a judge's files lie, and a hash of them: two judges of one hash are the same judge."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from engine.bases.location import local_folder
from engine.data.images import sha256_of
from engine.errors import BaseError
from engine.remembering import remembered

_WEIGHTS, _OTHERS = ("*.safetensors", "*.bin"), ("*.json", "*.txt")


def judge_folder(model: str | Path) -> Path:
    """The folder of a judge, which is given as one or as a hub id, and fetched if need be. Raises `BaseError`."""
    folder = local_folder(str(model))
    if not Path(model).expanduser().is_dir() and not any(folder.glob("*.safetensors")):
        folder = local_folder(str(model), also=["pytorch_model.bin"])
    return folder


def judge_digest(model: str | Path) -> str:
    """Hex SHA-256 of the names and contents of a judge's weights, configs and vocabulary, wherever they lie.

    Cached by path, size and modification time. Raises `BaseError` where there are no weights.
    """
    folder = judge_folder(model)
    weights = next((found for pattern in _WEIGHTS if (found := sorted(folder.glob(pattern)))), None)
    if weights is None:
        raise BaseError(f"the judge {model} has no weights (*.safetensors or *.bin)")
    files = [*weights, *(file for pattern in _OTHERS for file in sorted(folder.glob(pattern)))]

    def whole() -> str:
        return hashlib.sha256(json.dumps([(file.name, sha256_of(file)) for file in files]).encode()).hexdigest()

    return remembered([("judge", file) for file in files], whole)

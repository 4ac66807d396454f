"""A base's fingerprint: a hash of its weights that does not change when they are stored in half precision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

from engine.bases.families import family_named
from engine.bases.location import BaseInfo
from engine.bases.weights import weights_of
from engine.errors import BaseError
from engine.hash_cache import cached_hash

_VALUES_AT_ONCE = 2**22


def fingerprint(info: BaseInfo) -> str:
    """Hex SHA-256 over the float16 values of the family's parts with weights, in its order, and the image encoder.

    Tensors count by shape and values, not by name, so that a copy saved by another version of a library
    keeps its fingerprint. Cached by path, size and modification time of the weights' files.
    """
    files = {part: weights_of(folder).paths for part, folder in _folders(info).items()}
    return cached_hash([(part, file) for part, found in files.items() for file in found], lambda: _whole(files))


def _whole(files: Mapping[str, Sequence[Path]]) -> str:
    whole = hashlib.sha256()
    for part in (*(part for part in files if part != "image_encoder"), "image_encoder"):
        whole.update(f"{part}:".encode())
        for digest in sorted(d for f in files.get(part, []) for d in _digests_of(f)):
            whole.update(digest)
    return whole.hexdigest()


def _folders(info: BaseInfo) -> dict[str, Path]:
    folders = {part: info.places[part] for part in family_named(info.family).parts.weights}
    if info.image_encoder is not None:
        folders["image_encoder"] = info.image_encoder
    return folders


def _digests_of(path: Path) -> list[bytes]:
    from safetensors import SafetensorError

    try:
        return _tensor_digests(path)
    except (OSError, EOFError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BaseError(f"the base's weights {path} can't be read: {reason}") from error


def _tensor_digests(path: Path) -> list[bytes]:
    import torch
    from safetensors import safe_open

    def digest(tensor: torch.Tensor) -> bytes:
        """In pieces: a text encoder's table of words takes gigabytes, and more with every copy of it."""
        found = hashlib.sha256(",".join(map(str, tensor.shape)).encode() + b":")
        for piece in tensor.contiguous().flatten().split(_VALUES_AT_ONCE):
            found.update(piece.to(torch.float16).numpy())
        return found.digest()

    if path.suffix == ".bin":
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise ValueError("it must be a plain table of names and tensors, without tables inside")
        return [digest(t) for t in state.values() if t.is_floating_point()]
    with safe_open(path, framework="pt") as file:
        names: list[str] = file.keys()
        return [digest(t) for t in map(file.get_tensor, names) if t.is_floating_point()]

"""Features of files, worked out once: kept in the user's cache by judge and by the file's contents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.evaluation.judges import Judge, Pictures
from engine.files import written_aside


def _folder() -> Path:
    return user_cache_path("dv") / "features"


@dataclass(frozen=True)
class FeatureCache:
    """A folder of features. A cache that can't be read or written only costs time."""

    folder: Path = field(default_factory=_folder)

    def images(self, judge: Judge, sha256: str, read: Callable[[], Pictures]) -> Tensor:
        """The judge's features `(N, D)` of the pictures in the file of this hash, which `read` reads if need be."""
        key = hashlib.sha256(f"{judge.identity}/{sha256}".encode()).hexdigest()
        file = self.folder / f"{key}.safetensors"
        try:
            return load_file(file)["features"]
        except (OSError, SafetensorError, KeyError):
            features = judge.images(read())
        try:
            with written_aside(file) as partial:
                save_file({"features": features.contiguous()}, partial)
        except OSError:
            pass
        return features

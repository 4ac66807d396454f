"""Which files are a component's weights: the one set that is fetched, hashed and loaded.

The names are those that diffusers and transformers write: `diffusion_pytorch_model`, `model` (safetensors) or
`pytorch_model` (`.bin`), with a variant before the suffix (`model.fp16.safetensors`), or cut in shards that an index
lists (`model.safetensors.index.json`). Whatever else lies beside them is no part of the component.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import BaseError

Library = Literal["diffusers", "transformers"]

_STEMS = {"safetensors": ("diffusion_pytorch_model", "model"), "bin": ("diffusion_pytorch_model", "pytorch_model")}
_VARIANTS = ("", "fp32", "fp16", "bf16")
"""Variants in the order in which they are taken; others after these by name, what is no average (`non_ema`) last."""
_PLAIN = {
    "diffusers": {"safetensors": "diffusion_pytorch_model.safetensors", "bin": "diffusion_pytorch_model.bin"},
    "transformers": {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"},
}
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")


@dataclass(frozen=True)
class Weights:
    """One component's weights in `folder`; `index` lists the `files` where they are shards."""

    folder: Path
    suffix: Literal["safetensors", "bin"]
    files: tuple[str, ...]
    index: str | None = None

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.files]


def weights_of(folder: Path) -> Weights:
    """The weights of the component in `folder`. Raises `BaseError` where there are none, or a shard is missing."""
    names = [file.name for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []
    found = chosen(folder, names)
    if found is None:
        others = sorted(name for name in names if name.endswith(WEIGHT_SUFFIXES))
        beside = f"; {others[0]} is not a name that diffusers or transformers gives to weights" if others else ""
        raise BaseError(f"{folder} has no weights (*.safetensors or *.bin){beside}")
    if missing := [name for name in found.files if name not in names]:
        raise BaseError(f"{folder / str(found.index)} lists {missing[0]}, which is not there: fetch or copy it again")
    return found


def chosen(folder: Path, names: Collection[str]) -> Weights | None:
    """The weights among the files `names` of a component; None where there are none.

    Safetensors before `.bin`, full precision before a variant, one file before shards. Only the index, where there
    is one, is read in `folder`: the weights themselves may still have to be fetched.
    """
    candidates = [found for name in names if (found := _candidate(name)) is not None]
    if not candidates:
        return None
    best = min(candidates, key=lambda candidate: candidate.order)
    files = (best.name,) if not best.is_index else _shards(folder / best.name)
    return Weights(folder, best.suffix, files, best.name if best.is_index else None)


@dataclass(frozen=True)
class _Candidate:
    name: str
    suffix: Literal["safetensors", "bin"]
    stem: str
    variant: str
    is_index: bool

    @property
    def order(self) -> tuple[object, ...]:
        known = _VARIANTS.index(self.variant) if self.variant in _VARIANTS else len(_VARIANTS)
        return (
            self.suffix == "bin",
            self.variant == "non_ema",
            known,
            self.variant,
            _STEMS[self.suffix].index(self.stem),
            self.is_index,
            self.name,
        )


_NAME = re.compile(r"(?P<stem>\w+)(?:\.(?P<variant>\w+))?\.(?P<suffix>safetensors|bin)")
_INDEX = re.compile(
    r"(?P<stem>\w+)\.(?P<suffix>safetensors|bin)(?:\.(?P<older>\w+))?\.index(?:\.(?P<variant>\w+))?\.json"
)
"""Older versions of diffusers wrote the variant before the word index."""


def _candidate(name: str) -> _Candidate | None:
    for pattern in (_NAME, _INDEX):
        parts = pattern.fullmatch(name)
        if parts is None:
            continue
        suffix: Literal["safetensors", "bin"] = "bin" if parts["suffix"] == "bin" else "safetensors"
        if parts["stem"] in _STEMS[suffix]:
            variant = parts["variant"] or parts.groupdict().get("older") or ""
            return _Candidate(name, suffix, parts["stem"], variant, pattern is _INDEX)
    return None


def _shards(index: Path) -> tuple[str, ...]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        names = {str(name) for name in content["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaseError(f"the index {index} of a base's weights can't be read: {type(error).__name__}") from error
    if not names or any(Path(name).name != name for name in names):
        raise BaseError(f"the index {index} must list files of its own folder")
    return tuple(sorted(names))


def bytes_of(folder: Path) -> int:
    """The bytes of a component's files, of the weights only those that are used."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    used = chosen(folder, [file.name for file in files if file.parent == folder])
    kept = [file for file in files if file.suffix not in WEIGHT_SUFFIXES or (used and file in used.paths)]
    return sum(file.stat().st_size for file in kept if file.is_file())


@contextmanager
def as_the_only_ones(weights: Weights, library: Library) -> Iterator[Path]:
    """A folder that shows a component with these weights alone, under the names that `library` looks for first.

    Its files are links, there as long as the context. Whichever set a version of the library would prefer, and
    however it spells variants: what it loads is what was chosen.
    """
    name = _PLAIN[library][weights.suffix]
    with tempfile.TemporaryDirectory(prefix="dv-weights-") as place:
        shown = Path(place) / weights.folder.name
        shown.mkdir()
        for file in weights.folder.iterdir():
            if file.is_file() and file.suffix not in WEIGHT_SUFFIXES and not file.name.endswith(".index.json"):
                (shown / file.name).symlink_to(file.resolve())
        for path in weights.paths:
            (shown / (path.name if weights.index else name)).symlink_to(path.resolve())
        if weights.index is not None:
            (shown / f"{name}.index.json").symlink_to((weights.folder / weights.index).resolve())
        yield shown

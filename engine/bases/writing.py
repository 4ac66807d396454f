"""Writing a base: a whole folder in diffusers' layout, in which some parts have new weights and the others are another
base's."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from engine.bases.families import family_named
from engine.bases.location import BaseInfo
from engine.bases.weights import WEIGHT_SUFFIXES, weights_of
from engine.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WEIGHTS = "diffusion_pytorch_model.safetensors"
_FILES = ("model_index.json", "recommended.json", "LICENSE*", "NOTICE*")
_FOLDERS = ("feature_extractor", "judges")
"""What a base may have beside its parts."""


def check_storable(info: BaseInfo, names: Iterable[str], setting: str) -> None:
    """Raise `InputError` where some of the denoiser's parameters `names` have no place in files of the base's family;
    they were chosen by a `setting`."""
    family = family_named(info.family)
    homeless = [name for name in names if family.stored_in(name) is None]
    if homeless:
        raise InputError(
            f"the base {info.location.name} has no files for {len(homeless)} of the parameters that {setting} chooses, "
            f"such as {homeless[0]}: bases of the family {family.name} get them when they are loaded"
        )


def denoiser_parts(info: BaseInfo, denoiser: nn.Module, state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """New weights of the denoiser by the part that stores them, by all their names there: those of `state`, and the
    denoiser's own. A part of which `state` has nothing is left out."""
    family = family_named(info.family)
    whole = {**denoiser.state_dict(), **state}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in whole.items():
        part = family.stored_in(name)
        if part is not None:
            parts.setdefault(part, {})[name] = tensor
    changed = {family.stored_in(name) for name in state}
    return {part: tensors for part, tensors in parts.items() if part in changed}


def write_base_like(other: BaseInfo, folder: Path, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a base into the new `folder`: its parts named in `weights` with these, by name, all else copied from the
    base `other`, wherever its parts lie."""
    from safetensors.torch import save_file

    for part, place in other.places.items():
        if part not in weights:
            _copy_part(place, folder / part)
            continue
        (folder / part).mkdir(parents=True)
        shutil.copy(place / "config.json", folder / part)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights[part].items()}
        save_file(tensors, folder / part / _WEIGHTS, metadata={"format": "pt"})
    if other.image_encoder is not None:
        _copy_part(other.image_encoder, folder / "image_encoder")
    for name in _FOLDERS:
        if (other.folder / name).is_dir():
            shutil.copytree(other.folder / name, folder / name)
    for file in other.folder.iterdir():
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in _FILES):
            shutil.copy(file, folder)


def _copy_part(place: Path, target: Path) -> None:
    """A part without the weights that nobody reads: other variants, and other libraries'."""
    files = [file for file in place.rglob("*") if file.is_file()]
    there = any(file.parent == place and file.name.endswith(WEIGHT_SUFFIXES) for file in files)
    used = weights_of(place).paths if there else []
    for file in files:
        if file in used or not file.name.endswith(WEIGHT_SUFFIXES):
            copy = target / file.relative_to(place)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)

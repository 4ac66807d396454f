"""VGen's denoiser as a diffusers base: its weights under diffusers' names, beside the other parts of a base that has
them."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import Tensor, nn

from engine.bases.location import BaseInfo
from engine.bases.unet3d import UNET3D
from engine.bases.writing import write_base_like
from engine.errors import AdapterError, BaseError
from engine.vgen.adapters import names_in
from engine.vgen.pickles import tensors_of


def converted(state: dict[str, Tensor], denoiser: nn.Module) -> dict[str, Tensor]:
    """VGen's weights by the names of a denoiser, which may be without weights: every key is used, or named in a
    `BaseError`. Projections of temporal transformers are convolutions of length 1 there, and linear here.
    """
    names = names_in(denoiser)
    left, found = dict(state), {}
    for name, parameter in denoiser.named_parameters():
        theirs = names.of(name)
        if theirs not in left:
            raise BaseError(f"the file has no {theirs}, which is the denoiser's {name}")
        tensor = left.pop(theirs)
        if tensor.ndim == parameter.ndim + 1 and tensor.shape[-1] == 1:
            tensor = tensor.squeeze(-1)
        if tensor.shape != parameter.shape:
            shapes = f"{tuple(tensor.shape)}, and the denoiser {tuple(parameter.shape)}"
            raise BaseError(f"the file's {theirs} has shape {shapes}")
        found[name] = tensor.contiguous()
    if left:
        raise BaseError(f"the file has {len(left)} keys that the denoiser has no place for, such as {next(iter(left))}")
    return found


def write_base(file: Path, beside: BaseInfo, folder: Path) -> None:
    """Write a base into the new `folder`: the denoiser of `file`, all other parts copied from the base `beside`.

    Raises `BaseError` where the file doesn't fit that base's configuration; then nothing is left behind.
    """
    if beside.family != UNET3D.name:
        raise BaseError(f"the base {beside.location.name} is of the family {beside.family}: it must be {UNET3D.name}")
    if folder.exists():
        raise BaseError(f"{folder} is there already: choose another folder")
    try:
        state, _ = tensors_of(file)
    except AdapterError as error:
        raise BaseError(str(error)) from error
    weights = converted(state, UNET3D.skeleton(beside))
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write_base_like(beside, partial, {UNET3D.parts.denoiser: weights})
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise

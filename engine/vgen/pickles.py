"""The authors' pickles, read without running what is in them: tensors in tables, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import AdapterError


def tensors_of(path: Path) -> tuple[dict[str, Tensor], int]:
    """The state and the step of `{'state_dict', 'step'}`, or a bare state; a step that it doesn't tell is 0.

    Raises `AdapterError` for a file that is missing or damaged, that holds anything but finite numbers, or that would
    have to run code to be read.
    """
    content = _read(path)
    state, step = content, 0
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        state, step = content["state_dict"], content.get("step", 0)
    if not isinstance(state, Mapping) or not state or type(step) is not int or step < 0:
        raise AdapterError(f"{path} is not a file of VGen's: it has no table of weights")
    for name, tensor in state.items():
        _check(path, name, tensor)
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}, step


def tokens_of(path: Path) -> dict[str, Tensor] | None:
    """The vectors `(N, D)` by word of a token file; None where the file isn't one. Raises as `tensors_of`."""
    content = _read(path)
    if not isinstance(content, Mapping) or "string_to_param" not in content:
        return None
    table = content["string_to_param"]
    if not isinstance(table, Mapping | nn.ParameterDict) or not len(table):
        raise AdapterError(f"{path} is not a token file of VGen's: its string_to_param holds no vectors")
    tokens = {}
    for word, vectors in table.items():
        _check(path, f"the token {word}", vectors)
        if vectors.ndim != 2:
            raise AdapterError(
                f"{path}: the token {word} has shape {tuple(vectors.shape)}, it must be vectors by width"
            )
        tokens[str(word)] = vectors.detach().float()
    return tokens


def _read(path: Path) -> Any:
    try:
        # A ParameterDict is a table of tensors; no other class is let in.
        with torch.serialization.safe_globals([nn.ParameterDict]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on how a pickle was written
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise AdapterError(f"there is no file {path}") from error
    except UnpicklingError as error:
        raise AdapterError(
            f"{path} is refused: it holds more than tables of tensors, and reading it could run code; none was run"
        ) from error
    except Exception as error:  # on damaged files torch raises errors of every kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AdapterError(f"{path} can't be read: {reason}") from error


def _check(path: Path, name: object, tensor: object) -> None:
    """Refuse what is no dense tensor of finite numbers, before anything is computed on it."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or not tensor.is_floating_point():
        raise AdapterError(f"{path}: {name} is no tensor of numbers")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise AdapterError(f"{path}: {name} says that it has {tensor.numel():,} values, which the file doesn't hold")
    if not bool(tensor.isfinite().all()):
        raise AdapterError(f"{path}: {name} has values that are no numbers")

"""Low-rank updates as files for other programs: diffusers' `load_lora_weights`, and ComfyUI.

Both scale an update by alpha over rank, 1 where no alpha is stored, as dv does. diffusers' names are those of dv's own
base, with the denoiser's folder before them; ComfyUI's are `diffusion_model.` and the names of the model's own code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.adapters.learnt import grouped
from engine.adapters.storage import AdapterFiles, file_of, read_file
from engine.errors import AdapterError
from engine.files import written_aside

if TYPE_CHECKING:
    from torch import Tensor, nn

    from engine.bases.family import Family

Exchange = Literal["diffusers", "comfyui"]
_COMFYUI = "diffusion_model"
_A, _B = "lora_A.weight", "lora_B.weight"
_LEAVES = {"lora_A": _A, "lora_down": _A, "lora_B": _B, "lora_up": _B}
_KEY = re.compile(r"(?P<layer>.+)\.(?:(?P<leaf>lora_[AB]|lora_down|lora_up)(?:\.default)?\.weight|(?P<alpha>alpha))")
_PEFT = "lora_adapter_metadata"
"""Where diffusers stores the settings of a LoRA: JSON in the file's header."""


def write_exchange(
    adapter: AdapterFiles, family: Family, form: Exchange, path: Path, about: Mapping[str, str], *, replace: bool
) -> int:
    """Write an adapter's updates to `path` in another program's form, `about` in its header; give its bytes.

    Raises `AdapterError` for an adapter that isn't made of low-rank updates, and for a program that has no names for
    this family's layers.
    """
    if adapter.form != "low-rank":
        raise AdapterError(
            f"the {adapter.kind} was learnt by {adapter.method}, whose weights no other program knows: learn it with "
            "`method` lora to use it there"
        )
    name = _namer(family, form)
    layers = grouped(adapter.weights)
    tensors = {f"{name(layer)}.{leaf}": tensor for layer, leaves in layers.items() for leaf, tensor in leaves.items()}
    content = file_of(tensors, {"format": "pt", **about})
    with written_aside(path, replace=replace) as partial:
        partial.write_bytes(content)
    return len(content)


def read_exchange(path: Path, family: Family, skeleton: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The updates of a LoRA's file as dv stores them, and what its header says.

    Every tensor must be of an update of a matrix of `skeleton`, a denoiser of the family. Raises `AdapterError`.
    """
    tensors, about = read_file(path)
    layers = _layers(family, skeleton)
    found: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        parts = _KEY.fullmatch(key)
        layer = layers.get(parts["layer"]) if parts is not None else None
        if parts is None or layer is None:
            unknown.append(key)
            continue
        found.setdefault(layer, {})["alpha" if parts["alpha"] else _LEAVES[parts["leaf"]]] = tensor
    if unknown or not found:
        told = f"{len(unknown)} tensors that are no such update, such as {unknown[0]}" if unknown else "none"
        raise AdapterError(f"{path} must hold low-rank updates of the base's matrices, and has {told}")
    alpha = _peft_scale(about)
    weights: dict[str, Tensor] = {}
    for layer, leaves in found.items():
        shape = tuple(skeleton.get_parameter(f"{layer}.weight").shape)
        a, b = _checked(path, layer, leaves, shape)
        scale = float(leaves["alpha"]) / len(a) if "alpha" in leaves else alpha
        weights |= {f"{layer}/{_A}": a, f"{layer}/{_B}": b if scale == 1 else b * scale}
    return weights, about


def _checked(path: Path, layer: str, leaves: Mapping[str, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Both matrices in float32. Raises `AdapterError` where they aren't an update of a matrix of `shape`."""
    a, b, alpha = (leaves.get(leaf) for leaf in (_A, _B, "alpha"))
    whole = a is not None and a.shape[1:] == shape[1:] and b is not None and b.shape == (shape[0], *a.shape[:1])
    if a is None or b is None or not whole or len(a) == 0 or (alpha is not None and alpha.numel() != 1):
        raise AdapterError(f"{path} does not fit the base: at {layer} it has no update of a matrix {shape}")
    return a.float(), b.float()


def _namer(family: Family, form: Exchange) -> Callable[[str], str]:
    def diffusers(layer: str) -> str:
        return f"{family.parts.denoiser}.{layer}"

    def comfyui(layer: str) -> str:
        native = family.native_name(layer)
        if native is None:
            raise AdapterError(f"dv doesn't know what ComfyUI calls the layers of the family {family.name}, as {layer}")
        return f"{_COMFYUI}.{native}"

    return diffusers if form == "diffusers" else comfyui


def _layers(family: Family, skeleton: nn.Module) -> dict[str, str]:
    """Our name of each matrix by the names that it may have in files."""
    from torch import nn

    names: dict[str, str] = {}
    for layer, module in skeleton.named_modules():
        if isinstance(module, nn.Linear):
            native = family.native_name(layer)
            names |= {layer: layer, f"{family.parts.denoiser}.{layer}": layer}
            names |= {} if native is None else {native: layer, f"{_COMFYUI}.{native}": layer}
    return names


def _peft_scale(about: Mapping[str, str]) -> float:
    """Alpha over rank, where the file's header has diffusers' settings; else 1."""
    try:
        settings = json.loads(about.get(_PEFT, "{}"))
        ranks = {key.rpartition(".")[2]: value for key, value in settings.items()}
        return float(ranks["lora_alpha"]) / float(ranks["r"])
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError):
        return 1.0

"""How much memory a base's weights take, and when: while they are loaded, while sources are encoded, while it learns.

On a processor, weights of safetensors that are wanted as they are stored are no copies but pages of the file, which
are there from when they are first used. Others are converted: while that goes on, both are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import nn

from engine.bases.eight_bits import narrowable
from engine.bases.family import Compute, Parts
from engine.bases.location import BaseInfo
from engine.bases.offloading import blocks_of
from engine.bases.weights import weights_of

_ENCODERS = ("text_encoder", "vae", "image_encoder")
"""The parts that leave before the first step, by diffusers' names of their folders."""
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True)
class PartWeights:
    """Bytes of a part's weights: as they are computed with, and on a processor those of the files they are converted
    from. With `mapped` they are pages of the files."""

    bytes: int
    converted_from: int = 0
    mapped: bool = False


@dataclass(frozen=True)
class BaseWeights:
    """The weights of a base's parts, in the order in which they are loaded, `passing` ones last."""

    parts: Mapping[str, PartWeights]
    passing: tuple[str, ...]

    @property
    def loading(self) -> int:
        """The most that is there while they are loaded, one part after the other."""
        there, most = 0, 0
        for part in self.parts.values():
            held = 0 if part.mapped else part.bytes
            most = max(most, there + held + part.converted_from)
            there += held
        return most

    def encoding(self, alive: int) -> int:
        """While sources are encoded, or prompts by an encoder that passes, `alive` bytes of activations beside."""
        codecs = [name for name in _ENCODERS if name not in self.passing]
        return max(self._with(codecs) + alive, self._with(self.passing, passing=True))

    def learning(self, *, with_text: bool) -> int:
        """While it learns; `with_text` where a token is learnt, which needs a text encoder that doesn't pass."""
        gone = set(_ENCODERS) - ({"text_encoder"} - {*self.passing} if with_text else set())
        return sum(part.bytes for name, part in self.parts.items() if name not in gone)

    def _with(self, used: list[str] | tuple[str, ...], *, passing: bool = False) -> int:
        """All that is there while the parts `used` are."""
        return sum(
            part.bytes
            for name, part in self.parts.items()
            if name in used or (not part.mapped and (passing or name not in self.passing))
        )


def base_weights(info: BaseInfo, denoiser: nn.Module, parts: Parts, compute: Compute) -> BaseWeights:
    """What the weights of a base take; `denoiser` is its skeleton, of which 8 bits and offloading are told."""
    staying = [part for part in parts.weights if part not in parts.passing]
    image_encoder = ["image_encoder"] if info.image_encoder is not None else []
    found = {part: _part(info, part, parts, compute) for part in (*staying, *image_encoder, *parts.passing)}
    if compute.stored is not None:
        found[parts.denoiser] = _narrowed(found[parts.denoiser], denoiser, compute)
    if compute.offload:
        whole = found[parts.denoiser]
        found[parts.denoiser] = PartWeights(whole.bytes - _elsewhere(denoiser, compute))
    return BaseWeights(found, parts.passing)


def _part(info: BaseInfo, part: str, parts: Parts, compute: Compute) -> PartWeights:
    folder = info.image_encoder if part == "image_encoder" else info.places[part]
    assert folder is not None
    wanted = "float32" if part in parts.wide else str(compute.dtype).removeprefix("torch.")
    values, dtypes = 0, set()
    files = weights_of(folder)
    for path in files.paths:
        if path.suffix == ".bin":
            values += path.stat().st_size // 4
            continue
        count, found = _of_safetensors(str(path))
        values += count
        dtypes |= found
    taken = values * (4 if wanted == "float32" else 2)
    if compute.device.type != "cpu":
        return PartWeights(taken)
    if dtypes == {wanted}:
        return PartWeights(taken, mapped=True)
    return PartWeights(taken, converted_from=sum(path.stat().st_size for path in files.paths))


def _of_safetensors(path: str) -> tuple[int, set[str]]:
    """How many values there are, from the header alone, and of which types."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names: list[str] = file.keys()
        slices = [file.get_slice(name) for name in names]
        dtypes = {str(one.get_dtype()) for one in slices}
        return sum(prod(one.get_shape()) for one in slices), {_DTYPES.get(dtype, dtype) for dtype in dtypes}


def _narrowed(wide: PartWeights, denoiser: nn.Module, compute: Compute) -> PartWeights:
    """The same with matrices in 8 bits, which are made of the wide ones."""
    assert compute.stored is not None
    narrow = sum(layer.weight.numel() for layer in narrowable(denoiser).values())
    left = wide.bytes - narrow * (compute.dtype.itemsize - compute.stored.itemsize)
    return PartWeights(left, converted_from=wide.bytes if compute.device.type == "cpu" else 0)


def _elsewhere(denoiser: nn.Module, compute: Compute) -> int:
    """Bytes of the blocks that are not on the device: all but the largest, whose copy the backward pass may need."""
    stored = compute.stored or compute.dtype
    narrow = {id(layer.weight) for layer in narrowable(denoiser).values()} if compute.stored is not None else set()
    sizes = [
        sum(p.numel() * (stored if id(p) in narrow else compute.dtype).itemsize for p in block.parameters())
        for block in blocks_of(denoiser).values()
    ]
    return sum(sizes) - max(sizes, default=0)

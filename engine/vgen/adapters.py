"""The authors' adapters as dv's: bottlenecks at the same layers, under dv's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.adapters.bottleneck import AdapterSet
from engine.bases.family import Site
from engine.bases.location import BaseInfo
from engine.bases.unet3d import UNET3D
from engine.errors import AdapterError
from engine.methods.common import Kind
from engine.prompts import MOST_VECTORS
from engine.vgen.names import VgenNames
from engine.vgen.pickles import tensors_of, tokens_of

_ADAPTERS = {"attn1": "attn_adapter", "attn2": "cross_attn_adapter", "ff": "ff_adapter"}
_LEAVES = {"down_linear": "down", "up_linear": "up", "condition_linear": "condition"}
_AXES = {"subject": "spatial", "motion": "temporal"}


@dataclass(frozen=True)
class VgenAdapter:
    """What a file of theirs holds: the adapters' state as `AdapterSet` has it, their hidden widths, the step, and the
    width of the image embeddings that guide appearance, where any do."""

    state: dict[str, Tensor]
    widths: dict[str, int]
    step: int
    condition_width: int | None


def read_adapter_file(path: Path, kind: Kind, info: BaseInfo) -> VgenAdapter:
    """Their adapters for the base of `info`. Every key is used, or named in an error.

    Raises `AdapterError` for a file that doesn't fit, as `tensors_of` does.
    """
    sites, names = _sites(info)
    state, step = tensors_of(path)
    by_prefix = {_prefix(site, names): site for site in sites}
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        prefix, _, leaf = key.removesuffix(".weight").removesuffix(".bias").rpartition(".")
        if prefix not in by_prefix or leaf not in _LEAVES or not key.endswith((".weight", ".bias")):
            raise AdapterError(f"{path} has {key}, which is no adapter's weight in the base {info.location.name}")
        site = by_prefix[prefix]
        if site.axis != _AXES[kind]:
            other = "motion" if kind == "subject" else "subject"
            raise AdapterError(f"{path} has {key}, which is a {other}'s: say `kind` {other}")
        found[f"{site.name}/{_LEAVES[leaf]}.{key.rpartition('.')[2]}"] = tensor.float()
    _check_whole(path, found, sites)
    adapters = AdapterSet.from_state(found)
    _check_widths(path, adapters, sites)
    conditions = {a.condition.in_features for a in adapters.adapters.values() if a.condition is not None}
    if len(conditions) > 1:
        raise AdapterError(f"{path} has appearance guidance of several widths: {sorted(conditions)}")
    return VgenAdapter(adapters.state(), adapters.widths, step, next(iter(conditions), None))


def read_token_file(path: Path) -> Tensor | None:
    """The learnt token of a token file, `(D,)`, or `(N, D)` of several vectors; None where the file isn't one.

    Raises `AdapterError`.
    """
    tokens = tokens_of(path)
    if tokens is None:
        return None
    if len(tokens) > 1:
        raise AdapterError(f"{path} has the tokens {', '.join(tokens)}: dv takes a subject of one")
    ((word, vectors),) = tokens.items()
    if not 1 <= len(vectors) <= MOST_VECTORS:
        raise AdapterError(f"{path}: the token {word} has {len(vectors)} vectors, and dv takes 1 to {MOST_VECTORS}")
    return (vectors[0] if len(vectors) == 1 else vectors).contiguous()


def _sites(info: BaseInfo) -> tuple[list[Site], VgenNames]:
    if info.family != UNET3D.name:
        raise AdapterError(
            f"the base {info.location.name} is of the family {info.family}, and VGen's adapters are for {UNET3D.name}"
        )
    denoiser = UNET3D.skeleton(info)
    return UNET3D.sites(denoiser), names_in(denoiser)


def names_in(denoiser: Any) -> VgenNames:
    """VGen's names for a `UNet3DConditionModel`, which may be without weights."""
    layers = denoiser.config.layers_per_block
    return VgenNames(int(layers), [name for name, _ in denoiser.named_parameters()])


def _prefix(site: Site, names: VgenNames) -> str:
    block, _, leaf = names.of(site.name).rpartition(".")
    return f"{block}.{_ADAPTERS[leaf]}"


def _check_whole(path: Path, found: Mapping[str, Tensor], sites: list[Site]) -> None:
    """Adapters of one sort sit at all layers of that sort."""
    places = {key.partition("/")[0] for key in found}
    sorts = {(site.axis, site.name.rpartition(".")[2]) for site in sites if site.name in places}
    wanted = [site.name for site in sites if (site.axis, site.name.rpartition(".")[2]) in sorts]
    if missing := [name for name in wanted if name not in places]:
        raise AdapterError(f"{path} is not whole: it has no adapter at {missing[0]} ({len(missing)} are missing)")
    for name in wanted:
        for leaf in ("down.weight", "down.bias", "up.weight", "up.bias"):
            if f"{name}/{leaf}" not in found:
                raise AdapterError(f"{path} is not whole: it has no {leaf} at {name}")


def _check_widths(path: Path, adapters: AdapterSet, sites: list[Site]) -> None:
    for site in sites:
        adapter = adapters.adapters.get(site.name)
        if adapter is not None and adapter.down.in_features != site.width:
            raise AdapterError(
                f"{path} does not fit the base: at {site.name} it has width {adapter.down.in_features}, the base has "
                f"{site.width}"
            )

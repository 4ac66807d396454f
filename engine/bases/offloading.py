"""A frozen denoiser's blocks in the processor's memory: each layer's weights are copied to the GPU as it runs.

diffusers' group offloading moves a block's weights there and back around its forward pass, which doesn't do for
learning: a backward pass finds weights elsewhere that autograd saved; and under gradient checkpointing, where a block
that is computed again is left by an exception as soon as all that is needed is there, its weights stay on the GPU, so
that after the first step all do. Here a copy stands in a parameter's place while its layer runs, and lives for as long
as somebody needs it: without gradients that is the layer, under gradient checkpointing a block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError


def check_offloadable(device: torch.device) -> None:
    """Raise `InputError` for a device that has no memory of its own to save."""
    if device.type != "cuda":
        raise InputError(
            f"`offload` keeps a denoiser's blocks in the processor's memory while a GPU computes, and {device.type} "
            "computes in that memory: there is nothing to offload. Leave it out, or choose `device` cuda"
        )


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """What is offloaded of a denoiser, by name: the blocks in its own lists of blocks. All else stays on the device."""
    return {
        f"{name}.{number}": block
        for name, blocks in model.named_children()
        if isinstance(blocks, nn.ModuleList)
        for number, block in enumerate(blocks)
    }


def offload(model: nn.Module, device: torch.device) -> None:
    """Put the blocks of a frozen model into the processor's memory, and the rest of it on `device`, to compute there.

    Parameters keep their names and are what they were; only what runs sees the copies.
    """
    offloaded = {layer for block in blocks_of(model).values() for layer in block.modules()}
    for layer in model.modules():
        if layer not in offloaded:
            layer._apply(lambda tensor: tensor.to(device), recurse=False)
        elif tensors := _own_tensors(layer):
            for tensor in tensors.values():
                tensor.data = _kept(tensor.data, device)
            _copied_while_it_runs(layer, tensors, device)


def _own_tensors(layer: nn.Module) -> dict[str, Tensor]:
    """A layer's parameters and buffers, without those of the layers in it."""
    return {
        **dict(layer.named_parameters(recurse=False, remove_duplicate=False)),
        **dict(layer.named_buffers(recurse=False, remove_duplicate=False)),
    }


def _kept(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor in the processor's memory, where a GPU can fetch it from while it computes."""
    there = tensor.cpu()
    return there.pin_memory() if device.type == "cuda" else there


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    copy = tensor.to(device, non_blocking=True)
    return nn.Parameter(copy, requires_grad=False) if isinstance(tensor, nn.Parameter) else copy


def _copied_while_it_runs(layer: nn.Module, tensors: dict[str, Tensor], device: torch.device) -> None:
    def bring(_layer: nn.Module, _inputs: tuple[Any, ...]) -> None:
        _put(layer, {name: _copied(tensor, device) for name, tensor in tensors.items()})

    def take_back(_layer: nn.Module, _inputs: tuple[Any, ...], _output: object) -> None:
        _put(layer, tensors)

    layer.register_forward_pre_hook(bring)
    layer.register_forward_hook(take_back, always_call=True)


def _put(layer: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Let tensors stand in the places of a layer's parameters and buffers."""
    for name, tensor in tensors.items():
        place: dict[str, Any] = layer._parameters if name in layer._parameters else layer._buffers
        place[name] = tensor

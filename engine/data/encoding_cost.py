"""What encoding photographs and clips will take: counted on encoders without weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from engine.bases.location import BaseInfo
from engine.data.encoding import FRAMES_AT_ONCE

_PICTURES_AT_ONCE, _EMBEDDED_AT_ONCE = 8, 32
_DECODING_SECONDS = 1e-8
"""Seconds to decode and fit one pixel of a source: measured between 0.7 and 1.3e-8 on a core, H.264 and JPEG."""
_TENSORS_ALIVE = 2.5
"""How often the largest layer's input and output are in memory at once, with what a convolution needs beside them."""


@dataclass(frozen=True)
class EncodingCost:
    """`flops` on the device and `host_seconds` before it; `kept` values stay in the host's memory for the run, while
    `alive` values are on the device at once."""

    flops: int
    host_seconds: float
    kept: int
    alive: int


def encoding_cost(
    info: BaseInfo, size: tuple[int, int], frames: int, *, window: int, source_pixels: int, appearance: bool
) -> EncodingCost:
    """Count the encoding of `frames` frames at `size` (width, height), of `source_pixels` in all as they are decoded.

    A codec that takes windows whole is given `window` frames at a time.
    """
    layout = info.layout
    at_once = _PICTURES_AT_ONCE if layout.frame_step == 1 else window
    shape = (at_once, 3, *size[::-1]) if layout.frame_step == 1 else (1, 3, window, *size[::-1])
    flops, alive = _of_autoencoder(info.folder / "vae", shape)
    flops = flops * frames // at_once
    kept = 2 * frames * _values(layout.shape(window, size)) // max(1, layout.latent_frames(window))
    if appearance and info.image_encoder is not None:
        embedding, beside = _of_image_encoder(info.image_encoder)
        flops += embedding * frames // _EMBEDDED_AT_ONCE
        alive = max(alive, beside)
        kept += frames * (info.image_embedding_width or 0)
    pixels = FRAMES_AT_ONCE * 3 * size[0] * size[1]
    return EncodingCost(flops, source_pixels * _DECODING_SECONDS, kept, alive + 2 * pixels)


def _values(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


@cache
def _of_autoencoder(folder: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """Operations of encoding a batch, and the most values that are alive meanwhile."""
    import diffusers

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        autoencoder: Any = getattr(diffusers, config["_class_name"]).from_config(config)
    return _counted(autoencoder, autoencoder.encode, torch.empty(shape, device="meta"))


@cache
def _of_image_encoder(folder: Path) -> tuple[int, int]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = CLIPVisionModelWithProjection(config)
    pictures = torch.empty((_EMBEDDED_AT_ONCE, 3, config.image_size, config.image_size), device="meta")
    return _counted(model, model, pictures)


def _counted(model: nn.Module, run: Any, inputs: Tensor) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _largest(model) as largest:
        run(inputs)
    return counter.get_total_flops(), round(_TENSORS_ALIVE * max(largest))


@contextmanager
def _largest(model: nn.Module) -> Iterator[list[int]]:
    """The values that go into and come out of each layer."""
    sizes = [0]

    def note(_layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        tensors = [value for value in (*given, output) if isinstance(value, Tensor)]
        sizes.append(sum(tensor.numel() for tensor in tensors))

    handles = [layer.register_forward_hook(note) for layer in model.modules() if not list(layer.children())]
    try:
        yield sizes
    finally:
        for handle in handles:
            handle.remove()

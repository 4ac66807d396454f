"""What encoding photographs and clips will take: counted on encoders without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from engine.bases.codecs import pictures_at_once
from engine.bases.families import family_named
from engine.bases.location import BaseInfo
from engine.data.encoding import FRAMES_AT_ONCE

_EMBEDDED_AT_ONCE = 32
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
    info: BaseInfo, size: tuple[int, int], frames: int, *, coded: int, window: int, source_pixels: int, appearance: bool
) -> EncodingCost:
    """Count the encoding of `frames` frames at `size` (width, height), of `source_pixels` in all as they are decoded.

    `coded` of them, those of a window counted in each, go through the codec: one by one, or `window` at a time.
    """
    layout = info.layout
    at_once = pictures_at_once(size) if layout.frame_step == 1 else window
    flops, alive = _of_codec(info.family, info.folder, (1, 3, at_once, *size[::-1]))
    flops = flops * coded // at_once
    kept = 2 * prod(layout.shape(at_once, size)) * coded // at_once
    if appearance and info.image_encoder is not None:
        embedding, beside = _of_image_encoder(info.image_encoder)
        flops += embedding * frames // _EMBEDDED_AT_ONCE
        alive = max(alive, beside)
        kept += frames * (info.image_embedding_width or 0)
    pixels = FRAMES_AT_ONCE * 3 * size[0] * size[1]
    return EncodingCost(flops, source_pixels * _DECODING_SECONDS, kept, alive + 2 * pixels)


@cache
def _of_codec(family: str, folder: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """Operations of encoding a window, and the most values that are alive meanwhile."""
    encoder = family_named(family).encoder_skeleton(folder)
    return _counted(encoder, torch.empty(shape, device="meta"))


@cache
def _of_image_encoder(folder: Path) -> tuple[int, int]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = CLIPVisionModelWithProjection(config)
    pictures = torch.empty((_EMBEDDED_AT_ONCE, 3, config.image_size, config.image_size), device="meta")
    return _counted(model, pictures)


def _counted(model: nn.Module, inputs: Tensor) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _largest(model) as largest:
        model(inputs)
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

"""VGen's names for the layers of a `UNet3DConditionModel`, one to one.

Its blocks are numbered through: level 0's layers, its downsampler, level 1's layers and so on. Inside a block, 0 is the
resnet with its temporal convolution, 1 the spatial and 2 the temporal transformer.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.errors import BaseError

_ALONE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "transformer_in": "input_blocks.0.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_PLACES = {"resnets": "0", "temp_convs": "0.temopral_conv", "attentions": "1", "temp_attentions": "2"}
"""Their spelling."""
_MIDDLE = {
    "resnets.0": "0", "temp_convs.0": "0.temopral_conv", "attentions.0": "1", "temp_attentions.0": "2",
    "resnets.1": "3", "temp_convs.1": "3.temopral_conv",
}  # fmt: skip
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)")
_MID = re.compile(r"mid_block\.(\w+\.\d+)\.(.+)")


class VgenNames:
    """The names in a denoiser of so many `layers` a level, whose parameters and modules are called `known`."""

    def __init__(self, layers: int, known: Collection[str]) -> None:
        self._layers = layers
        self._with_attention = {name.split(".")[1] for name in known if re.match(r"up_blocks\.\d+\.attentions\.", name)}

    def of(self, name: str) -> str:
        """VGen's name for the parameter or module called `name` here. Raises `BaseError` for one it has none for."""
        for ours, theirs in _ALONE.items():
            if name.startswith(f"{ours}."):
                return f"{theirs}{name.removeprefix(ours)}"
        middle, block = _MID.fullmatch(name), _BLOCK.fullmatch(name)
        if middle is not None and middle[1] in _MIDDLE:
            return f"middle_block.{_MIDDLE[middle[1]]}.{_inner(middle[1], middle[2])}"
        if block is not None:
            side, level, kind, index, rest = block[1], int(block[2]), block[3], int(block[4]), block[5]
            if (place := self._place(side, level, kind, index)) is not None:
                return f"{place}.{_inner(kind, rest)}"
        raise BaseError(f"VGen has no name for the denoiser's {name}")

    def _place(self, side: str, level: int, kind: str, index: int) -> str | None:
        first = level * (self._layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + self._layers + 1}"
        if kind == "upsamplers":
            behind = 3 if str(level) in self._with_attention else 1
            return f"output_blocks.{first + self._layers}.{behind}"
        if kind not in _PLACES:
            return None
        return f"{'output' if side == 'up' else 'input'}_blocks.{first + index + (side == 'down')}.{_PLACES[kind]}"


def _inner(kind: str, rest: str) -> str:
    """A layer's name inside its block."""
    leaf, _, last = rest.partition(".")
    if kind.startswith("resnets"):
        return f"{_RESNET.get(leaf, leaf)}.{last}"
    return f"op.{last}" if kind == "downsamplers" else rest

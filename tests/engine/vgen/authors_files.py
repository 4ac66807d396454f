"""Files as the authors' code writes them, at a small width: random adapters, tokens, a denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.bases.location import BaseInfo, BaseLocation, inspect_base

# The miniature has an outermost level without transformers and one with them, a layer each: blocks 0 | 1, 2 | 3 on the
# way in and 0, 1 | 2, 3 on the way out.
SPATIAL = {
    "input_blocks.3.1": 32, "middle_block.1": 32, "output_blocks.0.1": 32, "output_blocks.1.1": 32,
}  # fmt: skip
TEMPORAL = {
    "input_blocks.0.1": 64, "input_blocks.3.2": 32, "middle_block.2": 32, "output_blocks.0.2": 32,
    "output_blocks.1.2": 32,
}  # fmt: skip


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * 0.1


def adapter_state(kind: str, condition: int = 24) -> dict[str, Tensor]:
    """Adapters of half a layer's width, at the places of `kind`."""
    leaves = ["cross_attn_adapter"] if kind == "subject" else ["attn_adapter", "cross_attn_adapter", "ff_adapter"]
    state = {}
    for number, (block, width) in enumerate((SPATIAL if kind == "subject" else TEMPORAL).items()):
        for leaf in leaves:
            place = f"{block}.transformer_blocks.0.{leaf}"
            shapes = {"down_linear": (width // 2, width), "up_linear": (width, width // 2)}
            if kind == "motion":
                shapes["condition_linear"] = (width, condition)
            for name, shape in shapes.items():
                state[f"{place}.{name}.weight"] = random(*shape, seed=number)
                state[f"{place}.{name}.bias"] = random(shape[0], seed=number)
    return state


def write_adapter_file(path: Path, kind: str, step: int = 500, changes: Mapping[str, Tensor] | None = None) -> Path:
    torch.save({"state_dict": {**adapter_state(kind), **(changes or {})}, "step": step}, path)
    return path


def write_token_file(path: Path, vectors: int = 1, width: int = 32) -> Path:
    table = nn.ParameterDict({"*": nn.Parameter(random(vectors, width))})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": table}, path)
    return path


def vgen_state(folder: Path) -> dict[str, Tensor]:
    """The denoiser of the base at `folder` under VGen's names, written out by the rules of their code."""
    from safetensors.torch import load_file

    ours = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    blocks = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0", "transformer_in": "input_blocks.0.1",
        "down_blocks.0.resnets.0": "input_blocks.1.0", "down_blocks.0.temp_convs.0": "input_blocks.1.0.temopral_conv",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0", "down_blocks.1.temp_convs.0": "input_blocks.3.0.temopral_conv",
        "down_blocks.1.attentions.0": "input_blocks.3.1", "down_blocks.1.temp_attentions.0": "input_blocks.3.2",
        "mid_block.resnets.0": "middle_block.0", "mid_block.temp_convs.0": "middle_block.0.temopral_conv",
        "mid_block.attentions.0": "middle_block.1", "mid_block.temp_attentions.0": "middle_block.2",
        "mid_block.resnets.1": "middle_block.3", "mid_block.temp_convs.1": "middle_block.3.temopral_conv",
        "up_blocks.0.resnets.0": "output_blocks.0.0", "up_blocks.0.temp_convs.0": "output_blocks.0.0.temopral_conv",
        "up_blocks.0.attentions.0": "output_blocks.0.1", "up_blocks.0.temp_attentions.0": "output_blocks.0.2",
        "up_blocks.0.resnets.1": "output_blocks.1.0", "up_blocks.0.temp_convs.1": "output_blocks.1.0.temopral_conv",
        "up_blocks.0.attentions.1": "output_blocks.1.1", "up_blocks.0.temp_attentions.1": "output_blocks.1.2",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.3.conv",
        "up_blocks.1.resnets.0": "output_blocks.2.0", "up_blocks.1.temp_convs.0": "output_blocks.2.0.temopral_conv",
        "up_blocks.1.resnets.1": "output_blocks.3.0", "up_blocks.1.temp_convs.1": "output_blocks.3.0.temopral_conv",
        "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    inside = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    state = {}
    for name, tensor in ours.items():
        block = max((known for known in blocks if name.startswith(f"{known}.")), key=len)
        rest = name.removeprefix(f"{block}.")
        if ".resnets." in block:
            layer, _, leaf = rest.partition(".")
            rest = f"{inside[layer]}.{leaf}"
        is_projection = ("temp_attentions" in block or block == "transformer_in") and rest.startswith("proj_")
        is_convolution = is_projection and rest.endswith("weight")
        state[f"{blocks[block]}.{rest}"] = tensor.unsqueeze(-1) if is_convolution else tensor
    return state


def info_of(folder: Path) -> BaseInfo:
    return inspect_base(BaseLocation("tiny", str(folder)))

"""A base of the exact configuration of Wan 2.1 1.3B with random weights, for `benchmarks.full_size`."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

TEXT: dict[str, Any] = {
    "vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}  # fmt: skip
"""UMT5-xxl's configuration, but for its 24 layers."""


def write_wan(folder: Path, text_layers: int) -> None:
    """Write it in bfloat16, but for the autoencoder. UMT5-xxl has 24 layers, and weighs as much as four denoisers: with
    fewer, what is learnt takes the same, and only the encoding of prompts less."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    WanTransformer3DModel(
        num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    UMT5EncoderModel(UMT5Config(**TEXT, num_layers=text_layers)).save_pretrained(folder / "text_encoder")
    torch.set_default_dtype(torch.float32)
    AutoencoderKLWan().save_pretrained(folder / "vae")
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase]
    words = T5TokenizerFast(vocab=[(piece, -float(number)) for number, piece in enumerate(pieces)])
    words.save_pretrained(folder / "tokenizer")
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0).save_pretrained(
        folder / "scheduler"
    )

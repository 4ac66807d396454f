"""A base of the family `wan` in miniature, at random weights, in the hub's layout: shards and bfloat16."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

CHANNELS, TEXT = 4, 12


def write_tiny_wan(folder: Path, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write all but an image encoder. Every scale is the real one's: 8 pixels a side, 4 frames, patches of 2 x 2."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer, vae, text_encoder = _transformer(), _vae(), _text_encoder()
    pipeline = WanPipeline(
        tokenizer=_tokenizer(),
        text_encoder=text_encoder.to(dtype),
        vae=vae,
        scheduler=_scheduler(),
        transformer=transformer.to(dtype),
    )
    pipeline.save_pretrained(folder, max_shard_size="4KB")


def _transformer() -> Any:
    model = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    for name, parameter in model.named_parameters():  # At their start gates are small and biases 0.
        if name.endswith(("scale_shift_table", "bias")):
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def _vae() -> Any:
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=CHANNELS,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[0.5, 2.0, 1.0, 0.7],
    )


def _text_encoder() -> Any:
    config = UMT5Config(
        vocab_size=len(_tokenizer()), d_model=TEXT, d_kv=4, d_ff=16, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return UMT5EncoderModel(config)


def _tokenizer() -> Any:
    """A piece a letter, so that long prompts are too long."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase]
    return T5TokenizerFast(vocab=[(piece, -float(number)) for number, piece in enumerate(pieces)], extra_ids=2)


def _scheduler() -> Any:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def write_tiny_image_encoder(folder: Path) -> None:
    """A CLIP image encoder, as it lies in a folder of its own."""
    config = CLIPVisionConfig(
        image_size=16, patch_size=8, projection_dim=24, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16).save_pretrained(folder)

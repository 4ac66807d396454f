"""A base of half of ModelScope's width with random weights, for `benchmarks.speed`."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from engine.pretraining import tokenizer

_TEXT, _VISION = 512, 640


def write_half(folder: Path) -> None:
    """UNet, autoencoder, text and image encoder of half the width, in float32; the autoencoder of full depth."""
    torch.manual_seed(0)
    UNet3DConditionModel(
        sample_size=32, in_channels=4, out_channels=4, block_out_channels=(160, 320, 640, 640), layers_per_block=2,
        attention_head_dim=64, cross_attention_dim=_TEXT,
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(64, 128, 256, 256), layers_per_block=2, latent_channels=4, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")  # fmt: skip
    words = tokenizer.build(merges=200, max_tokens=77)
    words.save_pretrained(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=_TEXT, intermediate_size=4 * _TEXT, num_hidden_layers=23, num_attention_heads=8,
        max_position_embeddings=77, hidden_act="gelu", projection_dim=_TEXT,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    vision = CLIPVisionConfig(
        hidden_size=_VISION, intermediate_size=4 * _VISION, num_hidden_layers=32, num_attention_heads=8, image_size=224,
        patch_size=14, projection_dim=1024, hidden_act="gelu",
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "image_encoder")
    # Last, as it says that the folder is whole.
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip

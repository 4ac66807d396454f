"""Stable Diffusion with a motion module in miniature, at random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import MotionAdapter, PNDMScheduler, UNet2DConditionModel

POSITIONS = 16


def write_image_model(folder: Path, other: Path) -> None:
    """A Stable Diffusion folder in miniature; all but its UNet and scheduler are those of the base at `other`."""
    for part in ("vae", "text_encoder", "tokenizer", "image_encoder"):
        shutil.copytree(other / part, folder / part)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        unet = UNet2DConditionModel(
            sample_size=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=32,
            attention_head_dim=2,
        )
    unet.save_pretrained(folder / "unet")
    # As Stable Diffusion 1.5 says it.
    PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")


def write_motion_module(folder: Path, widths: tuple[int, ...] = (16, 32)) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = MotionAdapter(
            block_out_channels=widths,
            motion_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=8,
            motion_max_seq_length=POSITIONS,
        )
    module.save_pretrained(folder)

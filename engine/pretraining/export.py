"""From the stages' averaged weights to the folder that ships: diffusers' layout, float16 safetensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from transformers import (
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
    ViTModel,
)

from engine.pretraining.denoiser import Conditioned
from engine.world import clips

MAX_BYTES = 24 * 2**20

NOTICE = """\
The weights in this folder were trained by engine/pretraining on renderings of emoji: Noto Emoji
(Apache License 2.0, copyright Google LLC) and Twemoji graphics (CC-BY 4.0, copyright Twitter, Inc. and
other contributors), both as packed by the emoji-datasource project (MIT, copyright Cal Henderson).
"""


def export(
    folder: Path,
    *,
    autoencoder: AutoencoderKL,
    denoiser: Conditioned,
    tokenizer: CLIPTokenizer,
    scheduler: DDIMScheduler,
    text_image: CLIPModel,
    judge: CLIPModel | None,
    self_supervised: ViTModel | None,
) -> int:
    """Write the base, and its judges where they are trained, into `folder`; return the bytes of it.

    What else lies in `folder` (the recommended settings) stays. Raises `ValueError` beyond `MAX_BYTES`.
    """
    image_encoder = CLIPVisionModelWithProjection(text_image.config.vision_config)
    towers = {k: v for k, v in text_image.state_dict().items() if k.startswith(("vision_model.", "visual_"))}
    image_encoder.load_state_dict(towers)
    models = {
        "unet": denoiser.unet,
        "vae": autoencoder,
        "text_encoder": denoiser.text_encoder,
        "image_encoder": image_encoder,
        "judges/clip": judge,
        "judges/dino": self_supervised,
    }
    for name, model in models.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        if model is not None:
            model.cpu().to(torch.float16).save_pretrained(folder / name, safe_serialization=True)
    for name in ("tokenizer", *(["judges/clip"] if judge is not None else [])):
        tokenizer.save_pretrained(folder / name)
    scheduler.save_pretrained(folder / "scheduler")
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": clips.SIZE}, crop_size=clips.SIZE, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    for name in ("image_encoder", "judges/clip", "judges/dino"):
        if (folder / name).is_dir():
            processor.save_pretrained(folder / name)
    _write_index(folder)
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    if size > MAX_BYTES:
        raise ValueError(f"the base takes {size} bytes, more than the {MAX_BYTES} that the package has room for")
    return size


def _write_index(folder: Path) -> None:
    index = {
        "_class_name": "TextToVideoSDPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet3DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

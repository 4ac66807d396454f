"""From a work folder to the folder that ships: diffusers' layout, float16 safetensors, of averaged weights.

Whatever the run has reached can be exported: finished stages, and the last average of one that still runs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPImageProcessorPil, CLIPTokenizer, CLIPVisionModelWithProjection

from engine.pretraining import autoencoder, denoiser, self_supervised, text_image
from engine.pretraining.settings import STAGES, Recipe
from engine.pretraining.stage import steps_taken, weights_file
from engine.pretraining.starting import write_steps
from engine.world.pictures import SIZE

MAX_BYTES = 30_000_000


def export(recipe: Recipe, work: Path, folder: Path) -> int:
    """Write what `work` has trained so far into `folder`; return the bytes of it.

    What else lies in `folder` (the recommended settings) stays. The image encoder and judges that are not
    trained yet are left out.
    Raises `FileNotFoundError` where the denoiser is not begun, `ValueError` beyond `MAX_BYTES`.
    """
    words = CLIPTokenizer.from_pretrained(work / "tokenizer")
    for name, model in _models(recipe, work, words).items():
        shutil.rmtree(folder / name, ignore_errors=True)
        if model is not None:
            model.to(torch.float16).save_pretrained(folder / name, safe_serialization=True)
    for name in ("tokenizer", "judges/clip"):
        if name == "tokenizer" or (folder / name).is_dir():
            words.save_pretrained(folder / name)
    denoiser.scheduler().save_pretrained(folder / "scheduler")
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size=SIZE, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    for name in ("image_encoder", "judges/clip", "judges/dino"):
        if (folder / name).is_dir():
            processor.save_pretrained(folder / name)
    _write_index(folder)
    write_steps(folder, {name: steps_taken(work, name) for name in STAGES if weights_file(work, name) is not None})
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    if size > MAX_BYTES:
        raise ValueError(f"the base takes {size} bytes, more than the {MAX_BYTES} that the package has room for")
    return size


def _models(recipe: Recipe, work: Path, words: CLIPTokenizer) -> dict[str, Any]:
    """The base's components by their folders; None for those that are not trained yet."""
    pictures = autoencoder.build(recipe.autoencoder)
    conditioned = denoiser.build(recipe.denoiser, pictures, words)
    _load(work, pictures, "decoder", "autoencoder")
    _load(work, conditioned, "clips", "images")
    pictures.register_to_config(scaling_factor=autoencoder.read_scale(work))
    towers, judge = (text_image.build(settings, words) for settings in (recipe.image_encoder, recipe.judge))
    viewer = self_supervised.Viewer(recipe.self_supervised)
    others = {"image_encoder": towers, "judge": judge, "self_supervised": viewer}
    there = {name: weights_file(work, name) is not None for name in others}
    for name, model in others.items():
        if there[name]:
            _load(work, model, name)
    image_encoder = CLIPVisionModelWithProjection(towers.config.vision_config)
    kept = {k: v for k, v in towers.state_dict().items() if k.startswith(("vision_model.", "visual_"))}
    image_encoder.load_state_dict(kept)
    return {
        "unet": conditioned.unet,
        "vae": pictures,
        "text_encoder": conditioned.text_encoder,
        "image_encoder": image_encoder if there["image_encoder"] else None,
        "judges/clip": judge if there["judge"] else None,
        "judges/dino": viewer.encoder if there["self_supervised"] else None,
    }


def _load(work: Path, model: nn.Module, *stages: str) -> None:
    """The newest weights of the first of these stages that has any."""
    for name in stages:
        if (path := weights_file(work, name)) is not None:
            model.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
            return
    raise FileNotFoundError(f"{work} holds no weights of {' or '.join(stages)} yet")


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

"""From a work folder to the folder that ships: diffusers' layout, float16 safetensors, of averaged weights.

Whatever the run has reached can be exported: finished stages, and the last average of one that still runs.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

from engine.pretraining import autoencoder, denoiser, self_supervised, text_image
from engine.pretraining.miniature import Miniature, miniature_of
from engine.pretraining.settings import Recipe
from engine.pretraining.stage import steps_taken, weights_file
from engine.pretraining.starting import write_steps
from engine.world.pictures import SIZE

MAX_BYTES = 30_000_000
"""Of the base as a wheel packs it."""
_OF_THE_WORLD = ("image_encoder", "judges/clip", "judges/dino")
"""What is the same for every family's base."""


def export(recipe: Recipe, work: Path, folder: Path) -> int:
    """Write what `work` has trained so far into `folder`; return the bytes that it takes in a wheel.

    What else lies in `folder` (the recommended settings) stays. The image encoder and judges that are not
    trained yet are left out, and stay as they are where the recipe doesn't train them.
    Raises `FileNotFoundError` where the denoiser is not begun, `ValueError` beyond `MAX_BYTES`.
    """
    miniature = miniature_of(recipe)
    words = miniature.tokenizer(work / "tokenizer")
    for name, model in _models(recipe, work, words).items():
        shutil.rmtree(folder / name, ignore_errors=True)
        if model is not None:
            model.to(torch.float16).save_pretrained(folder / name, safe_serialization=True)
    words.save_pretrained(folder / "tokenizer")
    if recipe.judge is not None and (folder / "judges/clip").is_dir():
        words.save_pretrained(folder / "judges/clip")
    miniature.scheduler().save_pretrained(folder / "scheduler")
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size=SIZE, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    for name in _OF_THE_WORLD:
        if (folder / name).is_dir():
            processor.save_pretrained(folder / name)
    _write(folder / "model_index.json", _index(miniature))
    if miniature.recommended and not (folder / "recommended.json").exists():
        _write(folder / "recommended.json", miniature.recommended)
    steps = {name: steps_taken(work, name) for name in recipe.stages if weights_file(work, name) is not None}
    write_steps(folder, steps)
    size = sum(len(zlib.compress(f.read_bytes())) for f in folder.rglob("*") if f.is_file())
    if size > MAX_BYTES:
        raise ValueError(f"the base takes {size} bytes, more than the {MAX_BYTES} that the package has room for")
    return size


def _index(miniature: Miniature) -> dict[str, object]:
    """diffusers' index: of each part its library and class."""
    models = {
        "vae": miniature.autoencoder_class,
        "text_encoder": miniature.text_encoder_class,
        miniature.family.parts.denoiser: miniature.denoiser_class,
    }
    classes = {part: [kind.__module__.partition(".")[0], kind.__name__] for part, kind in models.items()}
    return dict(sorted({**miniature.pipeline, **classes}.items()))


def copy_world_models(base: Path, folder: Path) -> None:
    """Take the image encoder and the judges of another family's base, which are trained once for all.

    Raises `FileNotFoundError` where `base` lacks one.
    """
    for name in _OF_THE_WORLD:
        shutil.copytree(base / name, folder / name, dirs_exist_ok=True)


def _models(recipe: Recipe, work: Path, words: Any) -> dict[str, Any]:
    """The base's components by their folders; None for those that are not trained yet."""
    miniature = miniature_of(recipe)
    pictures = miniature.autoencoder()
    conditioned = denoiser.build(miniature, recipe.denoiser, words)
    _load(work, pictures, "decoder", "autoencoder")
    _load(work, conditioned, "together", "clips", "images")
    pictures.register_to_config(**autoencoder.read_scale(work))
    return {
        miniature.family.parts.denoiser: conditioned.denoiser,
        "vae": pictures,
        "text_encoder": conditioned.text_encoder,
        **_world_models(recipe, work, words),
    }


def _world_models(recipe: Recipe, work: Path, words: Any) -> dict[str, Any]:
    """Image encoder and judges, as far as they are the recipe's own."""
    made: dict[str, Any] = {}
    if recipe.image_encoder is not None:
        towers = text_image.build(recipe.image_encoder, words)
        made["image_encoder"] = None
        if _loaded(work, towers, "image_encoder"):
            image_encoder = CLIPVisionModelWithProjection(towers.config.vision_config)
            kept = {k: v for k, v in towers.state_dict().items() if k.startswith(("vision_model.", "visual_"))}
            image_encoder.load_state_dict(kept)
            made["image_encoder"] = image_encoder
    if recipe.judge is not None:
        judge = text_image.build(recipe.judge, words)
        made["judges/clip"] = judge if _loaded(work, judge, "judge") else None
    if recipe.self_supervised is not None:
        viewer = self_supervised.Viewer(recipe.self_supervised)
        made["judges/dino"] = viewer.encoder if _loaded(work, viewer, "self_supervised") else None
    return made


def _load(work: Path, model: nn.Module, *stages: str) -> None:
    """The newest weights of the first of these stages that has any."""
    if not any(_loaded(work, model, name) for name in stages):
        raise FileNotFoundError(f"{work} holds no weights of {' or '.join(stages)} yet")


def _loaded(work: Path, model: nn.Module, stage: str) -> bool:
    """Give the model the stage's newest weights, if there are any."""
    path = weights_file(work, stage)
    if path is not None:
        model.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    return path is not None


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

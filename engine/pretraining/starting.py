"""Going on from an exported base: its weights become finished stages of a work folder.

Snapshots stay where they were made, exported weights travel with the package. What only training needs (optimizers,
the image encoder's text tower, individuals' names) is not exported, and begins anew where its stage goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPModel, CLIPVisionModelWithProjection, ViTModel

from engine.bases.load import quiet_libraries
from engine.files import written_aside
from engine.pretraining.autoencoder import write_scale
from engine.pretraining.miniature import Miniature, miniature_of
from engine.pretraining.settings import Recipe
from engine.pretraining.stage import write_stage

TRAINING = "training.json"
"""In an exported base: the steps that each stage took."""


def write_steps(folder: Path, steps: Mapping[str, int]) -> None:
    """Note in an exported base how many steps each stage took."""
    with written_aside(folder / TRAINING) as partial:
        partial.write_text(json.dumps(dict(steps), indent=2) + "\n", encoding="utf-8")


def start_from(base: Path, work: Path, recipe: Recipe) -> None:
    """Lay the stages of an exported base of the recipe's family into `work`, which must hold none.

    Raises `FileExistsError` where `work` has a stage already, `FileNotFoundError` where `base` was not
    exported by this recipe.
    """
    miniature = miniature_of(recipe)
    steps = json.loads((base / TRAINING).read_text(encoding="utf-8"))
    taken = [name for name in recipe.stages if (work / f"{name}.safetensors").exists()]
    if taken:
        raise FileExistsError(f"{work} has trained {', '.join(taken)} already: choose another folder with --work")
    config = miniature.autoencoder_class.load_config(base / "vae")
    readers = _readers(base, miniature)
    shutil.copytree(base / "tokenizer", work / "tokenizer")
    write_scale(work, {key: config[key] for key in miniature.scale_keys})
    for name in recipe.stages:
        if steps.get(name):
            write_stage(work / f"{name}.safetensors", readers[name](), steps[name])


def _readers(base: Path, miniature: Miniature) -> dict[str, Callable[[], dict[str, Tensor]]]:
    """How each stage's weights are read from an exported base."""
    part = miniature.family.parts.denoiser

    def pictures() -> dict[str, Tensor]:
        return _state(miniature.autoencoder_class, base / "vae")

    def denoiser() -> dict[str, Tensor]:
        text = _state(miniature.text_encoder_class, base / "text_encoder")
        return _named(part, _state(miniature.denoiser_class, base / part)) | _named("text_encoder", text)

    return {
        "autoencoder": pictures,
        "images": denoiser,
        "clips": denoiser,
        "together": denoiser,
        "decoder": pictures,
        "image_encoder": lambda: _state(CLIPVisionModelWithProjection, base / "image_encoder"),
        "judge": lambda: _state(CLIPModel, base / "judges" / "clip"),
        "self_supervised": lambda: _named(
            "encoder", _state(ViTModel, base / "judges" / "dino", add_pooling_layer=False)
        ),
    }


def _state(kind: Any, folder: Path, **options: Any) -> dict[str, Tensor]:
    """The weights of a component by the names of its class: files may have others."""
    with quiet_libraries():
        model = kind.from_pretrained(folder, torch_dtype=torch.float32, **options)
    # Names that share their weights, as in T5, can't share them in a file.
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}

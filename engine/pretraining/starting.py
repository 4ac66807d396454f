"""Going on from an exported base: its weights become finished stages of a work folder.

Snapshots stay where they were made, exported weights travel with the package. What only training needs
(optimizers, DINO's head, the first text tower) is not exported, and begins anew where its stage goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from engine.files import written_aside
from engine.pretraining.stage import write_stage

TRAINING = "training.json"
"""In an exported base: the steps that each stage took."""
STAGES = ("autoencoder", "text_image", "images", "clips", "judge", "self_supervised")


def write_steps(folder: Path, steps: Mapping[str, int]) -> None:
    """Note in an exported base how many steps each stage took."""
    with written_aside(folder / TRAINING) as partial:
        partial.write_text(json.dumps(dict(steps), indent=2) + "\n", encoding="utf-8")


def start_from(base: Path, work: Path) -> None:
    """Lay the stages of an exported base into `work`, which must hold none.

    Raises `FileExistsError` where `work` has a stage already, `FileNotFoundError` where `base` was not
    exported by this recipe.
    """
    steps = json.loads((base / TRAINING).read_text(encoding="utf-8"))
    taken = [name for name in STAGES if (work / f"{name}.safetensors").exists()]
    if taken:
        raise FileExistsError(f"{work} has trained {', '.join(taken)} already: choose another folder with --work")
    unet = _read(base / "unet" / "diffusion_pytorch_model.safetensors", "unet.")
    text = _read(base / "text_encoder" / "model.safetensors")
    denoiser = unet | {f"text_encoder.{name}": tensor for name, tensor in text.items()}
    stages = {
        "autoencoder": _read(base / "vae" / "diffusion_pytorch_model.safetensors"),
        "text_image": _read(base / "image_encoder" / "model.safetensors")
        | {f"text_model.{name}": tensor for name, tensor in text.items()},
        "images": denoiser,
        "clips": denoiser,
        "judge": _read(base / "judges" / "clip" / "model.safetensors"),
        "self_supervised": _read(base / "judges" / "dino" / "model.safetensors", "encoder."),
    }
    shutil.copytree(base / "tokenizer", work / "tokenizer")
    for name, tensors in stages.items():
        write_stage(work / f"{name}.safetensors", tensors, steps[name])


def _read(path: Path, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: tensor.float() for name, tensor in load_file(path).items()}

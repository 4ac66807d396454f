"""Judges: the models whose features the metrics compare. They neither condition nor train a base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTModel

from engine.bases.load import loading, quiet_libraries
from engine.bases.location import BaseInfo
from engine.bases.weights import as_the_only_ones, weights_of
from engine.errors import BaseError
from engine.evaluation.judge_files import judge_digest, judge_folder
from engine.evaluation.wanted import PAPER_CLIP, PAPER_DINO

Pictures = Sequence[npt.NDArray[np.uint8]]
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class ImageJudge(Protocol):
    """What gives features of pictures. Two judges of one `identity` give the same features."""

    identity: str

    def images(self, pictures: Pictures) -> Tensor: ...


class ClipJudge:
    """A CLIP, image and text tower, in float32: for CLIP-T, CLIP-I and temporal consistency."""

    def __init__(self, model: str | Path, *, device: str = "cpu", batch: int = 64) -> None:
        """Load a folder or hub id (the paper's is `PAPER_CLIP`). Raises `BaseError`."""
        self.device, self.batch = torch.device(device), batch
        folder = judge_folder(model)
        self._model = _load(CLIPModel, folder).to(self.device)
        self._tokenizer = _load_part(CLIPTokenizer, folder)
        self._processor = _load_part(CLIPImageProcessorPil, folder)
        self.identity = _identity("clip", folder, self.device)

    @torch.no_grad()
    def images(self, pictures: Pictures) -> Tensor:
        """Image features `(N, D)` on the CPU of pictures `(H, W, 3)` uint8, of any size each."""
        chunks = []
        for start in range(0, len(pictures), self.batch):
            pixels = self._processor(list(pictures[start : start + self.batch]), return_tensors="pt").pixel_values
            pooled = self._model.vision_model(pixel_values=pixels.to(self.device)).pooler_output
            chunks.append(self._model.visual_projection(pooled).cpu())
        return torch.cat(chunks)

    @torch.no_grad()
    def texts(self, prompts: Sequence[str]) -> Tensor:
        """Text features `(N, D)` on the CPU; a prompt too long for the tower is cut."""
        ids = self._tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        pooled = self._model.text_model(input_ids=ids.to(self.device)).pooler_output
        features: Tensor = self._model.text_projection(pooled).cpu()
        return features


class DinoJudge:
    """A self-supervised ViT in float32; its feature is the CLS token after the final norm: for DINO-I."""

    def __init__(self, model: str | Path, *, device: str = "cpu", batch: int = 64) -> None:
        """Load a folder or hub id (the paper's is `PAPER_DINO`). Raises `BaseError`."""
        self.device, self.batch = torch.device(device), batch
        folder = judge_folder(model)
        self._model = _load(ViTModel, folder, add_pooling_layer=False).to(self.device)
        self._processor = _dino_processor(folder, int(self._model.config.image_size))
        self.identity = _identity("dino", folder, self.device)

    @torch.no_grad()
    def images(self, pictures: Pictures) -> Tensor:
        """Image features `(N, D)` on the CPU of pictures `(H, W, 3)` uint8, of any size each."""
        chunks = []
        for start in range(0, len(pictures), self.batch):
            pixels = self._processor(list(pictures[start : start + self.batch]), return_tensors="pt").pixel_values
            chunks.append(self._model(pixel_values=pixels.to(self.device)).last_hidden_state[:, 0].cpu())
        return torch.cat(chunks)


@dataclass(frozen=True)
class Judges:
    """The two judges that the metrics need."""

    clip: ClipJudge
    dino: DinoJudge


class PairOfJudges(Protocol):
    """What has both judges, however it comes by them."""

    @property
    def clip(self) -> ClipJudge: ...

    @property
    def dino(self) -> DinoJudge: ...


@dataclass(frozen=True)
class NamedJudges:
    """The judges of two folders or hub ids, each loaded (and fetched) when it is first asked for."""

    clip_model: str | Path
    dino_model: str | Path
    device: str = "cpu"

    @cached_property
    def clip(self) -> ClipJudge:
        """Raises `BaseError`."""
        return ClipJudge(self.clip_model, device=self.device)

    @cached_property
    def dino(self) -> DinoJudge:
        """Raises `BaseError`."""
        return DinoJudge(self.dino_model, device=self.device)


def judges_of(info: BaseInfo, *, device: str = "cpu") -> Judges:
    """The judges that lie beside a base, in `judges/clip` and `judges/dino`.

    Raises `BaseError` for a base that has none.
    """
    folders = [info.folder / "judges" / name for name in ("clip", "dino")]
    for folder in folders:
        if not folder.is_dir():
            raise BaseError(
                f"the base {info.location.name} has no {folder.relative_to(info.folder)} of its own to judge by: "
                f"give ClipJudge and DinoJudge a model, such as {PAPER_CLIP} and {PAPER_DINO}"
            )
    return Judges(ClipJudge(folders[0], device=device), DinoJudge(folders[1], device=device))


def _identity(kind: str, folder: Path, device: torch.device) -> str:
    """A hash of what decides a judge's features: its files, the libraries, and the kind of device, whose sums round
    differently."""
    libraries = [version(name) for name in ("torch", "transformers", "pillow")]
    return hashlib.sha256(json.dumps([kind, device.type, libraries, judge_digest(folder)]).encode()).hexdigest()


def _load(kind: Any, folder: Path, **options: Any) -> Any:
    weights = weights_of(folder)
    with as_the_only_ones(weights, "transformers") as shown:
        safe = weights.suffix == "safetensors"
        model = _load_part(kind, shown, folder, torch_dtype=torch.float32, use_safetensors=safe, **options)
    return model.eval().requires_grad_(False)


def _load_part(kind: Any, model: str | Path, named: str | Path | None = None, **options: Any) -> Any:
    with loading(f"the judge {named or model} ({kind.__name__})"), quiet_libraries():
        return kind.from_pretrained(str(model), **options)


def _dino_processor(model: str | Path, size: int) -> CLIPImageProcessorPil:
    """The folder's own preprocessing where it resizes and crops, else DINO's evaluation.

    DINO's is Resize 256 bicubic, centre crop 224, ImageNet's mean and std; at another size in proportion.
    (What is saved beside `facebook/dino-vits16` squeezes to a square instead, which is not DINO's.)
    """
    own = Path(model) / "preprocessor_config.json"
    if own.exists() and json.loads(own.read_text(encoding="utf-8")).get("do_center_crop"):
        processor: CLIPImageProcessorPil = _load_part(CLIPImageProcessorPil, model)
        return processor
    return CLIPImageProcessorPil(
        size={"shortest_edge": round(size * 256 / 224)},
        crop_size={"height": size, "width": size},
        image_mean=_IMAGENET_MEAN,
        image_std=_IMAGENET_STD,
    )

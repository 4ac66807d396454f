"""Judges: the models whose features the metrics compare. They neither condition nor train a base.

A judge is one class here and its row of `JUDGES`; a metric says by name which judges it needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTModel

from engine.bases.load import loading, quiet_libraries
from engine.bases.location import BaseInfo
from engine.bases.text import ClipPrompts
from engine.bases.weights import as_the_only_ones, weights_of
from engine.errors import BaseError
from engine.evaluation.expected import PAPER_CLIP, PAPER_DINO
from engine.evaluation.judge_files import judge_digest, judge_folder
from engine.prompt_limits import judge_tokens

Pictures = Sequence[npt.NDArray[np.uint8]]
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Judge(Protocol):
    """What gives features of pictures. Two judges of one `identity` give the same features."""

    identity: str

    def images(self, pictures: Pictures) -> Tensor: ...


@runtime_checkable
class TextJudge(Judge, Protocol):
    """A judge whose features of texts can be compared with those of pictures."""

    def texts(self, prompts: Sequence[str]) -> Tensor: ...


class ClipJudge:
    """A CLIP, image and text tower, in float32: for CLIP-T, CLIP-I and temporal consistency."""

    def __init__(self, model: str | Path, *, device: str = "cpu", batch: int = 64) -> None:
        """Load a folder or hub id (the paper's is `PAPER_CLIP`). Raises `BaseError`."""
        self.device, self.batch = torch.device(device), batch
        folder = judge_folder(model)
        self._model = _load(CLIPModel, folder).to(self.device)
        self._prompts = prompts_of_clip(folder)
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
        ids = self._prompts.ids(list(prompts))
        pooled = self._model.text_model(input_ids=ids.to(self.device)).pooler_output
        features: Tensor = self._model.text_projection(pooled).cpu()
        return features


def prompts_of_clip(folder: Path) -> ClipPrompts:
    """How a CLIP's prompts become tokens, without its weights. Raises `BaseError`."""
    return ClipPrompts(_load_part(CLIPTokenizer, folder), judge_tokens(folder))


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
class JudgeKind:
    """A judge by name: who it is in words, the paper's model of it (or the published one), and how to load one.

    A base may have its own, in the folder `judges/NAME` beside it.
    """

    name: str
    title: str
    model: str
    load: Callable[..., Judge]


JUDGES = (
    JudgeKind("clip", "CLIP", PAPER_CLIP, ClipJudge),
    JudgeKind("dino", "DINO", PAPER_DINO, DinoJudge),
)


class Judges:
    """Judges by name, each of a folder or hub id, loaded (and fetched) when it is first asked for."""

    def __init__(self, models: Mapping[str, str | Path], *, device: str = "cpu") -> None:
        self.models, self.device = dict(models), device
        self._loaded: dict[str, Judge] = {}

    def __getitem__(self, name: str) -> Judge:
        """Raises `BaseError` where it can't be loaded, or none of that name is known."""
        if name not in self._loaded:
            kind = next((kind for kind in JUDGES if kind.name == name), None)
            if kind is None or name not in self.models:
                raise BaseError(f"there is no judge {name} here: there are {', '.join(self.models) or 'none'}")
            self._loaded[name] = kind.load(self.models[name], device=self.device)
        return self._loaded[name]

    def images(self, name: str, pictures: Pictures) -> Tensor:
        """A judge's features `(N, D)` on the CPU of pictures `(H, W, 3)` uint8, of any size each."""
        return self[name].images(pictures)

    def texts(self, name: str, prompts: Sequence[str]) -> Tensor:
        """A judge's features `(N, D)` on the CPU of texts. Raises `ValueError` for a judge that reads none."""
        judge = self[name]
        if not isinstance(judge, TextJudge):
            raise ValueError(f"the judge {name} reads no text")
        return judge.texts(prompts)


def judges_of(info: BaseInfo, *, device: str = "cpu") -> Judges:
    """The judges that lie beside a base, each in `judges/NAME`. Raises `BaseError` for a base that lacks one."""
    folders = {kind.name: info.folder / "judges" / kind.name for kind in JUDGES}
    for kind in JUDGES:
        if not folders[kind.name].is_dir():
            raise BaseError(
                f"the base {info.location.name} has no judges/{kind.name} of its own to judge by: give `Judges` a "
                f"{kind.title}, such as {kind.model}"
            )
    return Judges(folders, device=device)


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

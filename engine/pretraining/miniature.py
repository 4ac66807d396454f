"""What the recipe asks of a family of bases, to pretrain a miniature of it; the rest is the same for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.bases.codecs import Normalisation
from engine.bases.family import Family
from engine.bases.objectives import Objective
from engine.pretraining.settings import Recipe, UnetSettings
from engine.sampling.levels import Levels


class Miniature(Protocol):
    """A family's part of the recipe: its models as they are trained. Models are the libraries' classes."""

    @property
    def family(self) -> Family:
        """The family that loads the base once it is exported."""

    @property
    def pipeline(self) -> Mapping[str, object]:
        """What `model_index.json` says beside the classes of the models."""

    @property
    def recommended(self) -> Mapping[str, object]:
        """The tables of settings of a base that has none yet: none where the family's own do."""

    @property
    def frames(self) -> int:
        """Of a clip."""

    @property
    def autoencoder_class(self) -> Any:
        """The autoencoder's class."""

    @property
    def text_encoder_class(self) -> Any:
        """The text encoder's class."""

    @property
    def denoiser_class(self) -> Any:
        """The denoiser's class."""

    @property
    def scale_keys(self) -> tuple[str, ...]:
        """Which entries of the autoencoder's config tell the scale of its latents."""

    def tokenizer(self, folder: Path) -> Any:
        """The tokenizer in `folder`, made and saved there first where there is none."""

    def autoencoder(self) -> Any:
        """The untrained autoencoder."""

    def posterior(self, autoencoder: Any, windows: Tensor) -> Any:
        """Mean and deviation of the latents `(B, C, f, h, w)` of windows `(B, 3, F, H, W)`."""

    def decoded(self, autoencoder: Any, latents: Tensor) -> Tensor:
        """Windows `(B, 3, F, H, W)`, beyond [-1, 1] as well: an error there has a gradient."""

    def scale_of(self, latents: Tensor) -> dict[str, object]:
        """The `scale_keys` by which such latents `(B, C, f, h, w)` come near zero mean and unit variance."""

    def normalisation(self, autoencoder: Any) -> Normalisation:
        """Latents as the denoiser knows them, by the autoencoder's config."""

    def latent_shape(self, frames: int) -> tuple[int, int, int, int]:
        """Latents `(C, f, h, w)` of a window of so many whole frames."""

    def denoiser(self) -> Any:
        """The untrained denoiser."""

    def text_encoder(self, tokenizer: Any) -> Any:
        """The untrained text encoder."""

    def embeddings(self, text_encoder: Any) -> nn.Module:
        """The module that makes embeddings of token ids."""

    def read(self, text_encoder: Any, ids: Tensor) -> Tensor:
        """What the denoiser is told of token ids `(B, L)`: `(B, L, D)`."""

    def scheduler(self) -> Any:
        """The scheduler, whose config tells what the denoiser learns."""

    def weigh(self, levels: Levels) -> Tensor:
        """What an error at each level counts, `(B,)`."""

    def as_images(self, denoiser: Any) -> AbstractContextManager[None]:
        """Run the denoiser on single frames."""

    def of_time(self, denoiser: Any) -> Iterable[nn.Parameter]:
        """Parameters of which single frames say nothing: they wait for clips."""

    def of_clips(self, denoiser: Any) -> Iterable[nn.Parameter]:
        """Parameters that clips train: those that were learnt from several times as many images may stay."""

    def prepare(self, denoiser: Any, device: torch.device) -> None:
        """Make training faster in ways that change no result and no weight's name."""


def miniature_of(recipe: Recipe) -> Miniature:
    """The family that the recipe has settings for. A third one is a module beside these two, settings, and a case."""
    from engine.pretraining.unet3d import Unet3dMiniature
    from engine.pretraining.wan import WanMiniature

    if isinstance(recipe.denoiser, UnetSettings):
        return Unet3dMiniature(recipe.autoencoder, recipe.denoiser, recipe.merges)
    return WanMiniature(recipe.autoencoder, recipe.denoiser)


def objective_for(miniature: Miniature) -> Objective:
    """What the denoiser learns: the same that is learnt with the exported base."""
    from engine.bases.objectives import objective_of

    scheduler = miniature.scheduler()
    # A config that was never saved has no name of its class yet.
    return objective_of({**scheduler.config, "_class_name": type(scheduler).__name__})

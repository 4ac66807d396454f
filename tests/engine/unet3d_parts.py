"""The models inside a base of the family `unet3d`, for tests that look behind its protocols."""

from __future__ import annotations

from diffusers import AutoencoderKL
from transformers import CLIPTextModel

from engine.bases.base import Base
from engine.bases.codecs import PictureCodec
from engine.bases.objectives import DiffusionObjective
from engine.bases.text import ClipText


def text_of(base: Base) -> ClipText:
    """The base's text: its encoder, its prompts."""
    assert isinstance(base.text, ClipText)
    return base.text


def encoder_of(base: Base) -> CLIPTextModel:
    """The base's text encoder."""
    return text_of(base).encoder


def objective_of(base: Base) -> DiffusionObjective:
    """The base's objective, by its noise schedule."""
    assert isinstance(base.objective, DiffusionObjective)
    return base.objective


def vae_of(base: Base) -> AutoencoderKL:
    """The base's autoencoder."""
    assert isinstance(base.codec, PictureCodec)
    return base.codec.vae

"""The UNet3D family's miniature: `AutoencoderKL`, `UNet3DConditionModel` and CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engine.bases.codecs import Normalisation
from engine.bases.family import Family
from engine.bases.single_frames import shorten_convolutions
from engine.bases.unet3d import UNET3D
from engine.pretraining import tokenizer
from engine.pretraining.settings import AutoencoderSettings, UnetSettings
from engine.sampling.levels import Levels
from engine.world.pictures import FRAMES, SIZE


@dataclass(frozen=True)
class Unet3dMiniature:
    """See `engine.pretraining.miniature.Miniature` for what each answers."""

    coding: AutoencoderSettings
    settings: UnetSettings
    merges: int
    frames: int = FRAMES
    family: Family = UNET3D
    autoencoder_class: Any = AutoencoderKL
    text_encoder_class: Any = CLIPTextModel
    denoiser_class: Any = UNet3DConditionModel
    scale_keys: tuple[str, ...] = ("scaling_factor",)

    @property
    def pipeline(self) -> Mapping[str, object]:
        return {
            "_class_name": "TextToVideoSDPipeline",
            "scheduler": ["diffusers", "DDIMScheduler"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
        }

    @property
    def recommended(self) -> Mapping[str, object]:
        return {}

    def tokenizer(self, folder: Path) -> CLIPTokenizer:
        return tokenizer.kept(folder, merges=self.merges, max_tokens=self.settings.max_tokens)

    def autoencoder(self) -> AutoencoderKL:
        levels = len(self.coding.widths)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=self.coding.widths,
            latent_channels=self.coding.latent_channels,
            layers_per_block=1,
            norm_num_groups=8,
            sample_size=SIZE,
        )

    def posterior(self, autoencoder: Any, windows: Tensor) -> Any:
        found = autoencoder.encode(windows.transpose(1, 2).flatten(0, 1)).latent_dist
        moments = found.parameters.unflatten(0, (len(windows), -1)).transpose(1, 2)
        return type(found)(moments)

    def decoded(self, autoencoder: Any, latents: Tensor) -> Tensor:
        pictures: Tensor = autoencoder.decode(latents.transpose(1, 2).flatten(0, 1)).sample
        windows: Tensor = pictures.unflatten(0, (len(latents), -1)).transpose(1, 2)
        return windows

    def scale_of(self, latents: Tensor) -> dict[str, object]:
        return {"scaling_factor": round(1 / float(latents.std()), 5)}

    def normalisation(self, autoencoder: Any) -> Normalisation:
        return Normalisation.by_factor(float(autoencoder.config.scaling_factor))

    def latent_shape(self, frames: int) -> tuple[int, int, int, int]:
        side = SIZE // 2 ** (len(self.coding.widths) - 1)
        return self.coding.latent_channels, frames, side, side

    def denoiser(self) -> UNet3DConditionModel:
        """Its temporal layers start as identity, and without the dropout that its class puts in them."""
        levels, (channels, _, side, _) = len(self.settings.widths), self.latent_shape(1)
        unet = UNet3DConditionModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=self.settings.widths,
            down_block_types=("CrossAttnDownBlock3D",) * levels,
            up_block_types=("CrossAttnUpBlock3D",) * levels,
            layers_per_block=1,
            norm_num_groups=16,
            cross_attention_dim=self.settings.text_width,
            attention_head_dim=self.settings.attention_head_dim,
        )
        for layer in _temporal_layers(unet):
            last = layer.conv4[-1] if isinstance(layer, TemporalConvLayer) else layer.proj_out
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        for module in unet.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return unet

    def text_encoder(self, tokenizer: Any) -> CLIPTextModel:
        settings = self.settings
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.text_width,
            intermediate_size=4 * settings.text_width,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=4,
            max_position_embeddings=settings.max_tokens,
            projection_dim=settings.text_width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        return CLIPTextModel(config)

    def embeddings(self, text_encoder: Any) -> nn.Module:
        found: nn.Module = text_encoder.get_input_embeddings()
        return found

    def read(self, text_encoder: Any, ids: Tensor) -> Tensor:
        text: Tensor = text_encoder(ids)[0]
        return text

    def scheduler(self) -> DDIMScheduler:
        """v-prediction on Stable Diffusion's betas, rescaled so that the last step is pure noise (arXiv 2305.08891)."""
        return DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
            set_alpha_to_one=True,
        )

    def weigh(self, levels: Levels) -> Tensor:
        """In terms of the error of the clean sample the weight is min(SNR + 1, cap): min-SNR (arXiv 2303.09556)
        that still trains the last step, whose SNR is 0."""
        noise = levels.spread.square()  # 1 / noise is SNR + 1.
        return (1 / noise).clamp(max=self.settings.snr_cap) * noise

    @contextmanager
    def as_images(self, denoiser: Any) -> Iterator[None]:
        """Temporal convolutions and transformers pass their input on."""

        def same(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
            return hidden_states

        def same_in_tuple(hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
            return (hidden_states,)

        layers = _temporal_layers(denoiser)
        for layer in layers:
            layer.forward = same if isinstance(layer, TemporalConvLayer) else same_in_tuple
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward

    def of_time(self, denoiser: Any) -> Iterator[nn.Parameter]:
        for layer in _temporal_layers(denoiser):
            yield from layer.parameters()

    def of_clips(self, denoiser: Any) -> Iterator[nn.Parameter]:
        """Temporal layers, and what reads text: how things look stays (as in AnimateDiff, arXiv 2307.04725)."""
        yield from self.of_time(denoiser)
        for name, parameter in denoiser.named_parameters():
            if ".attn2." in name:
                yield parameter

    def prepare(self, denoiser: Any, device: torch.device) -> None:
        shorten_convolutions(denoiser)
        if device.type == "cpu":
            # In bfloat16 torch's fused attention takes three times as long there: 28 images a second in place of 42.
            denoiser.set_attn_processor(AttnProcessor())


def _temporal_layers(unet: UNet3DConditionModel) -> list[Any]:
    return [m for m in unet.modules() if isinstance(m, TemporalConvLayer | TransformerTemporalModel)]

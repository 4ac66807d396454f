"""Wan's miniature: `AutoencoderKLWan`, `WanTransformer3DModel` and UMT5's encoder, all at tiny configurations.

A window of 4k + 1 frames is k + 1 frames of latents; a photograph is a window of one frame, so single frames go
through the same layers as clips.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from torch import Tensor, nn
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

from engine.bases.codecs import Normalisation
from engine.bases.family import Family
from engine.bases.wan import WAN
from engine.pretraining import pieces
from engine.pretraining.settings import AutoencoderSettings, WanSettings
from engine.sampling.levels import Levels
from engine.world.pictures import SIZE

_FRAME_STEP = 4


@dataclass(frozen=True)
class WanMiniature:
    """See `engine.pretraining.miniature.Miniature` for what each answers."""

    coding: AutoencoderSettings
    settings: WanSettings
    family: Family = WAN
    autoencoder_class: Any = AutoencoderKLWan
    text_encoder_class: Any = UMT5EncoderModel
    denoiser_class: Any = WanTransformer3DModel
    scale_keys: tuple[str, ...] = ("latents_mean", "latents_std")

    @property
    def frames(self) -> int:
        return self.settings.frames

    @property
    def pipeline(self) -> Mapping[str, object]:
        return {
            "_class_name": "WanPipeline",
            "scheduler": ["diffusers", "UniPCMultistepScheduler"],
            "tokenizer": ["transformers", "T5TokenizerFast"],
        }

    @property
    def recommended(self) -> Mapping[str, object]:
        """Sizes are the world's; rates and steps of learning are to be searched on trained weights."""
        size: dict[str, object] = {"size": [SIZE, SIZE]}
        return {
            "subject": {**size, "offset_noise": 0.0},
            "motion": {**size, "offset_noise": 0.0, "frames": self.frames, "fps": 8.0},
            "subject/lora": {"targets": "appearance"},
            "motion/lora": {"attention": "query-key"},
            "compose": {
                **size, "offset_noise": 0.0, "frames": self.frames, "fps": 8.0,
                "sampler": "unipc", "steps": 16, "guidance_scale": 3.0,
            },
        }  # fmt: skip

    def tokenizer(self, folder: Path) -> T5TokenizerFast:
        return pieces.kept(folder, max_tokens=self.settings.max_tokens)

    def autoencoder(self) -> AutoencoderKLWan:
        first = self.coding.widths[0]
        vae = AutoencoderKLWan(
            base_dim=first,
            z_dim=self.coding.latent_channels,
            dim_mult=[width // first for width in self.coding.widths],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * self.coding.latent_channels,
            latents_std=[1.0] * self.coding.latent_channels,
        )
        for module in vae.modules():
            if isinstance(module, WanCausalConv3d) and module.kernel_size[0] > 1:
                _start_still(module)
        return vae

    def posterior(self, autoencoder: Any, windows: Tensor) -> Any:
        return autoencoder.encode(windows).latent_dist

    def decoded(self, autoencoder: Any, latents: Tensor) -> Tensor:
        """As the class decodes, one frame of latents at a time, but it clamps what comes out."""
        autoencoder.clear_cache()
        known, frames = autoencoder.post_quant_conv(latents), []
        for i in range(latents.shape[2]):
            autoencoder._conv_idx = [0]
            frames.append(
                autoencoder.decoder(
                    known[:, :, i : i + 1],
                    feat_cache=autoencoder._feat_map,
                    feat_idx=autoencoder._conv_idx,
                    first_chunk=i == 0,
                )
            )
        autoencoder.clear_cache()
        return torch.cat(frames, dim=2)

    def scale_of(self, latents: Tensor) -> dict[str, object]:
        channels = latents.float().transpose(0, 1).flatten(1)
        found = {"latents_mean": channels.mean(dim=1), "latents_std": channels.std(dim=1).clamp(min=1e-3)}
        return {name: [round(value, 5) for value in values.tolist()] for name, values in found.items()}

    def normalisation(self, autoencoder: Any) -> Normalisation:
        return Normalisation.by_channel(autoencoder.config.latents_mean, autoencoder.config.latents_std)

    def latent_shape(self, frames: int) -> tuple[int, int, int, int]:
        side = SIZE // 2 ** (len(self.coding.widths) - 1)
        return self.coding.latent_channels, 1 + (frames - 1) // _FRAME_STEP, side, side

    def denoiser(self) -> WanTransformer3DModel:
        """It predicts zero at first, as Wan's own code begins."""
        settings, channels = self.settings, self.coding.latent_channels
        model = WanTransformer3DModel(
            patch_size=(1, settings.patch, settings.patch),
            num_attention_heads=settings.width // settings.attention_head_dim,
            attention_head_dim=settings.attention_head_dim,
            in_channels=channels,
            out_channels=channels,
            text_dim=settings.text_width,
            freq_dim=64,
            ffn_dim=4 * settings.width,
            num_layers=settings.layers,
            rope_max_seq_len=64,
        )
        nn.init.zeros_(model.proj_out.weight)
        nn.init.zeros_(model.proj_out.bias)
        return model

    def text_encoder(self, tokenizer: Any) -> UMT5EncoderModel:
        settings = self.settings
        config = UMT5Config(
            vocab_size=len(tokenizer),
            d_model=settings.text_width,
            d_kv=settings.text_width // 4,
            d_ff=2 * settings.text_width,
            num_layers=settings.text_layers,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            n_positions=settings.max_tokens,
        )
        return UMT5EncoderModel(config)

    def embeddings(self, text_encoder: Any) -> nn.Module:
        found: nn.Module = text_encoder.encoder.get_input_embeddings()
        return found

    def read(self, text_encoder: Any, ids: Tensor) -> Tensor:
        """Zero after a prompt's end, where Wan's cross-attention looks all the same."""
        there = (ids != text_encoder.config.pad_token_id).long()
        states: Tensor = text_encoder(ids, attention_mask=there).last_hidden_state
        told: Tensor = states * there[..., None].to(states)
        return told

    def scheduler(self) -> UniPCMultistepScheduler:
        return UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=self.settings.shift
        )

    def weigh(self, levels: Levels) -> Tensor:
        return torch.ones_like(levels.spread)

    def as_images(self, denoiser: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def of_time(self, denoiser: Any) -> Iterator[nn.Parameter]:
        return iter(())

    def of_clips(self, denoiser: Any) -> Iterator[nn.Parameter]:
        """All: no layer is temporal alone."""
        return iter(denoiser.parameters())

    def prepare(self, denoiser: Any, device: torch.device) -> None:
        for block in denoiser.blocks:
            if device.type == "cpu":
                for attention in (block.attn1, block.attn2):
                    attention.set_processor(PlainAttention())
            if self.settings.compiled and (device.type != "cpu" or shutil.which("g++") is not None):
                block.compile(dynamic=False)


def _start_still(convolution: WanCausalConv3d) -> None:
    """Make a causal convolution begin as one of each frame by itself (arXiv 2503.20314, section 4.1).

    What looks at the past starts at zero. Where time is halved the last of three frames passes on, where it is doubled
    each frame is two.
    """
    with torch.no_grad():
        convolution.weight[:, :, :-1] = 0
        if convolution.kernel_size[1] == 1:  # Only convolutions over time alone are not over space.
            same = torch.eye(convolution.in_channels)
            times = convolution.out_channels // convolution.in_channels
            convolution.weight[:, :, -1, 0, 0] = same.repeat(times, 1)
            nn.init.zeros_(convolution.bias)
    convolution.__class__ = StillConvolution


class StillConvolution(WanCausalConv3d):
    """Wan's causal convolution; a frame without a past goes through the kernel's last slice alone, the rest of which
    sees zeros: the same, in a third of the time."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        """`(B, C, F, H, W)`, and the last frames before them."""
        if cache_x is not None or x.shape[2] > 1 or self._padding[4] == 0:
            out: Tensor = super().forward(x, cache_x)
            return out
        flat = F.pad(x[:, :, 0], self._padding[:4])
        return F.conv2d(flat, self.weight[:, :, -1], self.bias, self.stride[1:])[:, :, None]


class PlainAttention:
    """What diffusers' attention of Wan computes, by matrix products in place of torch's fused attention.

    On a processor that takes 0.78 s in place of 1.24 s for 32 single frames, forward and backward, in bfloat16.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        value = attn.to_v(source)
        query, key = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(source))
        query, key, value = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (query, key, value))
        if rotary_emb is not None:
            query, key = (_turned(x, *rotary_emb) for x in (query, key))
        query, key = query.to(value), key.to(value)
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1).to(value)
        out: Tensor = attn.to_out[0]((weights @ value).transpose(1, 2).flatten(2))
        return out


def _turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary embedding of `(B, heads, T, D)`; cosines and sines are `(1, T, 1, D)`."""
    across = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
    return x * cosines.transpose(1, 2) + across * sines.transpose(1, 2)

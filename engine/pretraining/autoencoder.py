"""The autoencoder's stages, of any family: both halves, then the decoder alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.files import written_aside
from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.miniature import Miniature
from engine.pretraining.pools import LATENT_POOLS, Clips, Encode, Photographs
from engine.pretraining.settings import AutoencoderSettings, DecoderSettings
from engine.pretraining.stage import Run, run_stage
from engine.training import generator_at
from engine.world.pictures import SIZE

SCALE = "latents.json"


def reconstruction_loss(output: Tensor, target: Tensor, masks: Tensor, settings: AutoencoderSettings) -> Tensor:
    """L1 + squared error + L1 between the pictures' gradients, more of each on the sprite; `(B, 3, F, H, W)`."""
    error = output - target
    weight = 1 + (settings.sprite_weight - 1) * masks
    weight = weight / weight.mean()
    pixel = (weight * (error.abs() + settings.squared_weight * error.square())).mean()
    edges = (weight[..., 1:] * error.diff(dim=-1).abs()).mean() + (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    return pixel + settings.gradient_weight * edges


def pretrain(
    miniature: Miniature, settings: AutoencoderSettings, photographs: Photographs, clips: Clips | None, run: Run
) -> Any:
    """Train the autoencoder, measure its latents' scale, and return it in eval mode."""
    torch.manual_seed(settings.loop.seed)
    model = miniature.autoencoder().to(run.device)
    drawn = drawn_ahead(lambda step: _batch(settings, photographs, clips, step))

    def loss_at(step: int, _micro: int) -> Tensor:
        windows, masks = (t.to(run.device) for t in drawn(step))
        with run.accelerator.autocast():
            posterior = miniature.posterior(model, windows)
            generator = generator_at(settings.loop.seed, step, "noise")
            noise = torch.randn(posterior.mean.shape, generator=generator).to(windows)
            output = miniature.decoded(model, posterior.mean + posterior.std * noise)
        loss = reconstruction_loss(output.float(), windows, masks, settings)
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).float().mean()
        total: Tensor = loss + settings.kl_weight * kl
        return total

    if run_stage("autoencoder", model, loss_at, settings.loop, run, ema_decay=settings.ema_decay, settings=settings):
        # What was made by its former weights is out of date.
        for name in (*(f"{pool}.latents.safetensors" for pool in LATENT_POOLS), SCALE, "decoder.safetensors"):
            (run.work / name).unlink(missing_ok=True)
    model.eval().requires_grad_(False)
    if not (run.work / SCALE).exists():
        write_scale(run.work, miniature.scale_of(_some_latents(miniature, model, photographs, clips, run)))
    model.register_to_config(**read_scale(run.work))
    return model


def encoder_of(miniature: Miniature, model: Any) -> Encode:
    """How a finished autoencoder encodes windows for the denoiser."""
    normalisation = miniature.normalisation(model)

    def encode(windows: Tensor) -> Tensor:
        posterior = miniature.posterior(model, windows)
        return normalisation.applied(posterior.mean.float(), posterior.std.float())[0]

    return encode


def _some_latents(miniature: Miniature, model: Any, photographs: Photographs, clips: Clips | None, run: Run) -> Tensor:
    """Means `(B, C, 1, h, w)` of the first photographs' latents, or of the first clips' frames of latents."""
    if clips is not None:
        windows, _ = clips.frames(torch.arange(min(len(clips), 64)))
    else:
        windows = photographs.frames(torch.arange(min(len(photographs), 256)))[0][:, :, None]
    with torch.no_grad():
        latents: Tensor = miniature.posterior(model, windows.to(run.device)).mean
    return latents.transpose(1, 2).flatten(0, 1)[:, :, None]


def _batch(
    settings: AutoencoderSettings, photographs: Photographs, clips: Clips | None, step: int
) -> tuple[Tensor, Tensor]:
    """Pixels `(B, 3, F, H, W)` and masks: windows on individuals at first, whole pictures in the last steps; every
    second batch of clips, where there are any, once they are due."""
    generator = generator_at(settings.loop.seed, step)
    times = 1 if step >= settings.crop_share * settings.loop.steps else (SIZE // settings.crop) ** 2
    windows = settings.windows
    if clips is not None and windows is not None and step % 2 == 1 and step >= windows.start * settings.loop.steps:
        chosen = torch.randint(len(clips), (windows.batch_size * times,), generator=generator)
        return clips.frames(chosen) if times == 1 else clips.windows(chosen, settings.crop, generator)
    chosen = photographs.draw(settings.batch_size * times, generator)
    if times == 1:
        pixels, masks = photographs.frames(chosen)
    else:
        pixels, masks = photographs.windows(chosen, settings.crop, generator)
    return pixels[:, :, None], masks[:, :, None]


def write_scale(work: Path, entries: Mapping[str, object]) -> None:
    """Keep the latents' scale: the denoiser knows no other, so it is measured once."""
    with written_aside(work / SCALE) as partial:
        partial.write_text(json.dumps(entries) + "\n", encoding="utf-8")


def read_scale(work: Path) -> dict[str, object]:
    """The scale's entries in the autoencoder's config, as measured when the autoencoder was finished."""
    entries: dict[str, object] = json.loads((work / SCALE).read_text(encoding="utf-8"))
    return entries


def sharpen(
    miniature: Miniature,
    settings: DecoderSettings,
    coding: AutoencoderSettings,
    model: Any,
    photographs: Photographs,
    clips: Clips | None,
    run: Run,
) -> None:
    """Train the decoder of a finished `model` further, in place; its latents, and all that knows them, stay.

    What the encoder gave up so that the latents may be few is lost; what the decoder makes of the rest is not.
    """
    decoder = {**_parts(model.decoder, "decoder"), **_parts(model.post_quant_conv, "post_quant_conv")}
    for parameter in decoder.values():
        parameter.requires_grad_(True)
    whole = replace(coding, loop=settings.loop, batch_size=settings.batch_size, crop_share=0.0)
    if whole.windows is not None:
        whole = replace(whole, windows=replace(whole.windows, start=0.0))
    encode, normalisation = encoder_of(miniature, model), miniature.normalisation(model)

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        windows, masks = _batch(whole, photographs, clips, step)
        generator = generator_at(settings.loop.seed, step, "noise")
        noise = torch.randn(len(windows), *miniature.latent_shape(windows.shape[2]), generator=generator)
        return windows, masks, settings.noise * torch.rand(len(windows), 1, 1, 1, 1, generator=generator) * noise

    drawn = drawn_ahead(draw)

    def loss_at(step: int, _micro: int) -> Tensor:
        windows, masks, noise = (t.to(run.device) for t in drawn(step))
        with run.accelerator.autocast():
            with torch.no_grad():
                latents = normalisation.undone(encode(windows) + noise)
            output = miniature.decoded(model, latents)
        return reconstruction_loss(output.float(), windows, masks, coding)

    run_stage(
        "decoder", model, loss_at, settings.loop, run, trained=decoder, ema_decay=settings.ema_decay, settings=settings
    )
    model.eval().requires_grad_(False)


def _parts(module: nn.Module, prefix: str) -> dict[str, nn.Parameter]:
    return {f"{prefix}.{name}": parameter for name, parameter in module.named_parameters()}


def psnr(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], over the pixels that `weight` chooses."""
    weight = torch.ones_like(target[:, :1]) if weight is None else weight
    error = (weight * F.mse_loss(output.clamp(-1, 1), target, reduction="none")).sum() / (3 * weight.sum())
    return 10 * torch.log10(4 / error)

"""The autoencoder's stages: both halves, then the decoder alone."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from engine.files import written_aside
from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.pools import LATENT_POOLS, Photographs
from engine.pretraining.settings import AutoencoderSettings, DecoderSettings
from engine.pretraining.stage import Run, run_stage
from engine.training import generator_at
from engine.world.pictures import SIZE

SCALE = "latents.json"


def build(settings: AutoencoderSettings) -> AutoencoderKL:
    levels = len(settings.widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.widths,
        latent_channels=settings.latent_channels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def reconstruction_loss(output: Tensor, target: Tensor, masks: Tensor, settings: AutoencoderSettings) -> Tensor:
    """L1 + squared error + L1 between the pictures' gradients, more of each on the sprite; `(B, 3, H, W)`."""
    error = output - target
    weight = 1 + (settings.sprite_weight - 1) * masks
    weight = weight / weight.mean()
    pixel = (weight * (error.abs() + settings.squared_weight * error.square())).mean()
    edges = (weight[..., 1:] * error.diff(dim=-1).abs()).mean() + (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    return pixel + settings.gradient_weight * edges


def pretrain(settings: AutoencoderSettings, photographs: Photographs, run: Run) -> AutoencoderKL:
    """Train the autoencoder, measure its latents' scale, and return it in eval mode."""
    torch.manual_seed(settings.loop.seed)
    model = build(settings).to(run.device)

    drawn = drawn_ahead(lambda step: _batch(settings, photographs, step))

    def loss_at(step: int, _micro: int) -> Tensor:
        pixels, masks = (t.to(run.device) for t in drawn(step))
        with run.accelerator.autocast():
            posterior = model.encode(pixels).latent_dist
            generator = generator_at(settings.loop.seed, step, "noise")
            noise = torch.randn(posterior.mean.shape, generator=generator).to(pixels)
            output = model.decode(posterior.mean + posterior.std * noise).sample
        loss = reconstruction_loss(output.float(), pixels, masks, settings)
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).float().mean()
        total: Tensor = loss + settings.kl_weight * kl
        return total

    if run_stage("autoencoder", model, loss_at, settings.loop, run, ema_decay=settings.ema_decay, settings=settings):
        # What was made by its former weights is out of date.
        for name in (*(f"{pool}.latents.safetensors" for pool in LATENT_POOLS), SCALE, "decoder.safetensors"):
            (run.work / name).unlink(missing_ok=True)
    model.eval().requires_grad_(False)
    if not (run.work / SCALE).exists():
        pixels, _ = photographs.frames(torch.arange(min(len(photographs), 256)))
        with torch.no_grad():
            latents = model.encode(pixels.to(run.device)).latent_dist.mean
        write_scale(run.work, round(1 / float(latents.std()), 5))
    model.register_to_config(scaling_factor=read_scale(run.work))
    return model


def _batch(settings: AutoencoderSettings, photographs: Photographs, step: int) -> tuple[Tensor, Tensor]:
    """Windows on individuals at first, whole pictures in the last steps."""
    generator = generator_at(settings.loop.seed, step)
    if step >= settings.crop_share * settings.loop.steps:
        return photographs.frames(photographs.draw(settings.batch_size, generator))
    chosen = photographs.draw(settings.batch_size * (SIZE // settings.crop) ** 2, generator)
    return photographs.windows(chosen, settings.crop, generator)


def write_scale(work: Path, factor: float) -> None:
    """Keep the latents' scale: the denoiser knows no other, so it is measured once."""
    with written_aside(work / SCALE) as partial:
        partial.write_text(json.dumps({"scaling_factor": factor}) + "\n", encoding="utf-8")


def read_scale(work: Path) -> float:
    """What latents are multiplied by, as measured when the autoencoder was finished."""
    return float(json.loads((work / SCALE).read_text(encoding="utf-8"))["scaling_factor"])


def sharpen(
    settings: DecoderSettings,
    autoencoder: AutoencoderSettings,
    model: AutoencoderKL,
    photographs: Photographs,
    run: Run,
) -> None:
    """Train the decoder of a finished `model` further, in place; its latents, and all that knows them, stay.

    What the encoder gave up so that the latents may be few is lost; what the decoder makes of the rest is not.
    """
    decoder = {**_parts(model.decoder, "decoder"), **_parts(model.post_quant_conv, "post_quant_conv")}
    for parameter in decoder.values():
        parameter.requires_grad_(True)

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = generator_at(settings.loop.seed, step)
        pixels, masks = photographs.frames(photographs.draw(settings.batch_size, generator))
        side = SIZE // 2 ** (len(autoencoder.widths) - 1)
        noise = torch.randn(len(pixels), autoencoder.latent_channels, side, side, generator=generator)
        return pixels, masks, settings.noise * torch.rand(len(pixels), 1, 1, 1, generator=generator) * noise

    drawn = drawn_ahead(draw)

    def loss_at(step: int, _micro: int) -> Tensor:
        pixels, masks, noise = (t.to(run.device) for t in drawn(step))
        with run.accelerator.autocast():
            with torch.no_grad():
                latents = model.encode(pixels).latent_dist.mean
            output = model.decode(latents + noise / model.config.scaling_factor).sample
        return reconstruction_loss(output.float(), pixels, masks, autoencoder)

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

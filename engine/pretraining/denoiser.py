"""The denoiser's two stages: images first, with the temporal layers skipped, then clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPTextModel, CLIPTokenizer

from engine.pretraining.emoji import Drawings
from engine.pretraining.pools import Pool, caption_of, make_pools, spare_processors
from engine.pretraining.settings import DenoiserSettings
from engine.pretraining.stage import run_stage
from engine.pretraining.text_image import tokenize
from engine.sampling.noise import draw_timesteps
from engine.training import generator_at
from engine.world import clips


class Conditioned(nn.Module):
    """The UNet and the text encoder that conditions it: trained together, as in latent diffusion."""

    def __init__(self, unet: UNet3DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        # Where the UNet is compiled, it is for clips: single frames take another way through it.
        unet = self.unet.forward if latents.shape[2] == 1 else self.unet
        prediction: Tensor = unet(latents, timesteps, self.text_encoder(ids)[0]).sample
        return prediction


def build(settings: DenoiserSettings, autoencoder: AutoencoderKL, text_width: int) -> UNet3DConditionModel:
    """The UNet, its temporal layers starting as identity, and without the dropout that its class puts in them."""
    deeper = len(settings.widths) - 1
    channels = autoencoder.config.latent_channels
    unet = UNet3DConditionModel(
        sample_size=clips.SIZE // 2 ** (len(autoencoder.config.block_out_channels) - 1),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=settings.widths,
        down_block_types=("DownBlock3D", *["CrossAttnDownBlock3D"] * deeper),
        up_block_types=(*["CrossAttnUpBlock3D"] * deeper, "UpBlock3D"),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=text_width,
        attention_head_dim=settings.attention_head_dim,
    )
    for layer in _temporal_layers(unet):
        last = layer.conv4[-1] if isinstance(layer, TemporalConvLayer) else layer.proj_out
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    for module in unet.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return unet


def scheduler() -> DDIMScheduler:
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


@contextmanager
def temporal_layers_skipped(unet: UNet3DConditionModel) -> Iterator[None]:
    """Run the UNet as an image model: temporal convolutions and transformers pass their input on."""

    def same(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states

    def same_in_tuple(hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        return (hidden_states,)

    layers = _temporal_layers(unet)
    for layer in layers:
        layer.forward = same if isinstance(layer, TemporalConvLayer) else same_in_tuple
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _temporal_layers(unet: UNet3DConditionModel) -> list[Any]:
    return [m for m in unet.modules() if isinstance(m, TemporalConvLayer | TransformerTemporalModel)]


@dataclass(frozen=True)
class Batch:
    """What one step is computed from: clean latents `(B, C, F, h, w)`, token ids, timesteps `(B,)`, noise."""

    latents: Tensor
    ids: Tensor
    timesteps: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def velocity_loss(model: Conditioned, batch: Batch, alphas: Tensor, *, cap: float) -> Tensor:
    """Weighted v-prediction loss of a batch.

    In terms of the error of the clean sample the weight is min(SNR + 1, cap): min-SNR (arXiv 2303.09556)
    that still trains the last step, whose SNR is 0.
    """
    kept = alphas.to(batch.latents.device)[batch.timesteps].view(-1, 1, 1, 1, 1)
    noisy = kept.sqrt() * batch.latents + (1 - kept).sqrt() * batch.noise
    target = kept.sqrt() * batch.noise - (1 - kept).sqrt() * batch.latents
    error = (model(noisy, batch.timesteps, batch.ids).float() - target).square().mean(dim=(1, 2, 3, 4))
    # 1 / (1 - alpha) is SNR + 1.
    weight = (1 / (1 - kept.flatten())).clamp(max=cap) * (1 - kept.flatten())
    loss: Tensor = (weight * error).mean()
    return loss


class Batches:
    """The batches of the denoiser's stages, each a function of its step."""

    def __init__(
        self, settings: DenoiserSettings, pools: Mapping[str, Pool], tokenizer: CLIPTokenizer, timesteps: int
    ) -> None:
        self.settings, self.pools, self.tokenizer, self.timesteps = settings, list(pools.values()), tokenizer, timesteps

    def of_images(self, step: int) -> Batch:
        """Single frames."""
        return self._draw(generator_at(self.settings.images.seed, step), self.settings.image_batch, still=True)

    def of_clips(self, step: int) -> Batch:
        """Clips, or now and then single frames."""
        settings, generator = self.settings, generator_at(self.settings.clips.seed, step)
        still = float(torch.rand((), generator=generator)) < settings.image_step_share
        return self._draw(generator, settings.image_batch if still else settings.clip_batch, still=still)

    def _draw(self, generator: torch.Generator, count: int, *, still: bool) -> Batch:
        settings = self.settings
        shares = torch.tensor([settings.pool_share, settings.nameless_share, settings.stranger_share])
        which = torch.multinomial(shares, count, replacement=True, generator=generator)
        latents, captions = [], []
        for pool in (self.pools[i] for i in which.tolist()):
            i = int(torch.randint(len(pool.specs), (), generator=generator))
            latents.append(pool.latents[i])
            captions.append(caption_of(pool.specs[i], settings, generator))
        clean = torch.stack(latents).float().transpose(1, 2)
        if still:
            frame = torch.randint(clean.shape[2], (count,), generator=generator)
            clean = clean[torch.arange(count), :, frame].unsqueeze(2)
        bias = settings.image_noise_bias if still else settings.clip_noise_bias
        # Stratified: every batch has timesteps of all kinds.
        timesteps = draw_timesteps(count, self.timesteps, bias, generator, stratified=True)
        noise = torch.randn(clean.shape, generator=generator)
        return Batch(clean, tokenize(self.tokenizer, captions), timesteps, noise)


@dataclass(frozen=True)
class _Steps(Dataset[Batch]):
    """The batches of `draw` from step `first` on."""

    draw: Callable[[int], Batch]
    first: int

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, i: int) -> Batch:
        return self.draw(self.first + i)


def drawn_ahead(draw: Callable[[int], Batch], processes: int) -> Callable[[int], Batch]:
    """`draw` for steps in order, the next ones drawn by `processes` others meanwhile: the same batches, sooner."""
    if processes == 0:
        return draw
    feed: Iterator[Batch] = iter(())
    due = -1

    def at(step: int) -> Batch:
        nonlocal feed, due
        if step != due:
            feed = iter(DataLoader(_Steps(draw, step), batch_size=None, num_workers=processes))
        due = step + 1
        return next(feed)

    return at


def pretrain(
    settings: DenoiserSettings,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    drawings: Drawings,
    work: Path,
    accelerator: Accelerator,
) -> Conditioned:
    """Run both stages and return UNet and text encoder in eval mode."""
    torch.manual_seed(settings.images.seed)
    unet = build(settings, autoencoder, text_encoder.config.hidden_size)
    model = Conditioned(unet, text_encoder.requires_grad_(True)).to(accelerator.device)
    alphas = scheduler().alphas_cumprod
    pools = make_pools(settings, drawings, autoencoder, work, accelerator)
    batches = Batches(settings, pools, tokenizer, timesteps=len(alphas))

    def loss_on(batch: Batch) -> Tensor:
        single_frames = batch.latents.shape[2] == 1
        with temporal_layers_skipped(unet) if single_frames else nullcontext(), accelerator.autocast():
            return velocity_loss(model, batch.to(accelerator.device), alphas, cap=settings.snr_cap)

    image_batch = drawn_ahead(batches.of_images, spare_processors())
    clip_batch = drawn_ahead(batches.of_clips, spare_processors())

    def image_loss(step: int, _micro: int) -> Tensor:
        return loss_on(image_batch(step))

    def clip_loss(step: int, _micro: int) -> Tensor:
        return loss_on(clip_batch(step))

    if settings.compiled and accelerator.device.type == "cuda":
        unet.compile()
    shared = {"work": work, "accelerator": accelerator, "ema_decay": settings.ema_decay, "settings": settings}
    temporal = {id(p) for layer in _temporal_layers(unet) for p in layer.parameters()}
    spatial = {name: p for name, p in model.named_parameters() if id(p) not in temporal}
    if run_stage("images", model, image_loss, settings.images, trained=spatial, **shared):
        # Clips learnt on the images' former weights are out of date.
        (work / "clips.safetensors").unlink(missing_ok=True)
    run_stage("clips", model, clip_loss, settings.clips, **shared)
    return model.eval().requires_grad_(False)

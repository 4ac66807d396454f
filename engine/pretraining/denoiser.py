"""The denoiser's two stages: images first, with the temporal layers skipped, then clips.

Clips, and single frames among them, train the temporal layers and what reads text: how things look was learnt from
several times as many images (as AnimateDiff does, arXiv 2307.04725).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engine.pretraining import traits
from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.captions import for_denoiser
from engine.pretraining.pools import Latents, Photographs, clip_latents, photograph_latents
from engine.pretraining.settings import DenoiserSettings
from engine.pretraining.stage import Run, run_stage
from engine.pretraining.text_image import tokenize
from engine.sampling.noise import draw_timesteps
from engine.training import generator_at
from engine.world.individuals import CLASSES
from engine.world.pictures import SIZE


class Conditioned(nn.Module):
    """The UNet and the text encoder that conditions it: trained together, as in latent diffusion.

    `names` makes of an individual's `traits` what is added to the embedding of the word that names its class. Only
    pretraining has it: what is exported knows words alone.
    """

    def __init__(self, unet: UNet3DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder
        width = text_encoder.config.hidden_size
        self.names = nn.Sequential(nn.Linear(traits.COUNT, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor, named: Named | None = None) -> Tensor:
        with _added(self.text_encoder, None if named is None else self.embedded(named)):
            text = self.text_encoder(ids)[0]
        prediction: Tensor = self.unet(latents, timesteps, text).sample
        return prediction

    def embedded(self, named: Named) -> Tensor:
        """What is added to the embeddings of token ids `(B, L)`: `(B, L, D)`, zero but where a class is named."""
        name: Tensor = self.names(named.traits)
        noise = named.noise * name.detach().std()
        return named.where[..., None] * (name + noise)[:, None]


@dataclass(frozen=True)
class Named:
    """Who is meant by the class words of a batch: `traits` `(B, T)`, `where` `(B, L)` the words stand (nowhere in
    captions that name nobody), and `noise` `(B, D)` on the embeddings, over their standard deviation."""

    traits: Tensor
    where: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Named:
        """The same on `device`."""
        return Named(self.traits.to(device), self.where.to(device), self.noise.to(device))


@contextmanager
def _added(text_encoder: CLIPTextModel, more: Tensor | None) -> Iterator[None]:
    """Add to the embeddings of the tokens that `text_encoder` reads meanwhile."""
    if more is None:
        yield
        return
    handle = text_encoder.get_input_embeddings().register_forward_hook(lambda _module, _ids, found: found + more)
    try:
        yield
    finally:
        handle.remove()


def build(settings: DenoiserSettings, autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer) -> Conditioned:
    """The untrained UNet and text encoder."""
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
    return Conditioned(build_unet(settings, autoencoder), CLIPTextModel(config))


def build_unet(settings: DenoiserSettings, autoencoder: AutoencoderKL) -> UNet3DConditionModel:
    """The UNet, its temporal layers starting as identity, and without the dropout that its class puts in them."""
    levels = len(settings.widths)
    channels = autoencoder.config.latent_channels
    unet = UNet3DConditionModel(
        sample_size=SIZE // 2 ** (len(autoencoder.config.block_out_channels) - 1),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=settings.widths,
        down_block_types=("CrossAttnDownBlock3D",) * levels,
        up_block_types=("CrossAttnUpBlock3D",) * levels,
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=settings.text_width,
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
    """What one step is computed from: clean latents `(B, C, F, h, w)`, what of them the individual covers
    `(B, 1, F, h, w)`, token ids, timesteps `(B,)`, noise, and who is named."""

    latents: Tensor
    covered: Tensor
    ids: Tensor
    timesteps: Tensor
    noise: Tensor
    named: Named

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def velocity_loss(
    model: Conditioned, batch: Batch, alphas: Tensor, *, cap: float, individual_weight: float = 1.0
) -> Tensor:
    """Weighted v-prediction loss of a batch; the individual's latents weigh `individual_weight`, the scene's 1.

    Weights over the frame don't move what is best to predict; they say what is learnt first.

    In terms of the error of the clean sample the weight is min(SNR + 1, cap): min-SNR (arXiv 2303.09556)
    that still trains the last step, whose SNR is 0.
    """
    kept = alphas.to(batch.latents.device)[batch.timesteps].view(-1, 1, 1, 1, 1)
    noisy = kept.sqrt() * batch.latents + (1 - kept).sqrt() * batch.noise
    target = kept.sqrt() * batch.noise - (1 - kept).sqrt() * batch.latents
    places = 1 + (individual_weight - 1) * batch.covered
    squared = (model(noisy, batch.timesteps, batch.ids, batch.named).float() - target).square()
    error = (places / places.mean() * squared).mean(dim=(1, 2, 3, 4))
    # 1 / (1 - alpha) is SNR + 1.
    weight = (1 / (1 - kept.flatten())).clamp(max=cap) * (1 - kept.flatten())
    loss: Tensor = (weight * error).mean()
    return loss


class Batches:
    """The batches of the denoiser's stages, each a function of its step."""

    def __init__(
        self,
        settings: DenoiserSettings,
        photographs: Latents,
        clips: Latents | None,
        tokenizer: CLIPTokenizer,
        timesteps: int,
    ) -> None:
        self.settings, self.photographs, self.clips = settings, photographs, clips
        self.tokenizer, self.timesteps = tokenizer, timesteps
        self.class_words = torch.tensor([tokenizer(word, add_special_tokens=False).input_ids[0] for word in CLASSES])

    def of_images(self, step: int) -> Batch:
        """Single frames."""
        settings = self.settings
        generator = generator_at(settings.images.seed, step)
        return self._draw(self.photographs, settings.image_batch, settings.image_noise_bias, generator)

    def of_clips(self, step: int) -> Batch:
        """Clips, or now and then single frames."""
        settings, generator = self.settings, generator_at(self.settings.clips.seed, step)
        if self.clips is None or float(torch.rand((), generator=generator)) < settings.image_step_share:
            return self._draw(self.photographs, settings.image_batch, settings.image_noise_bias, generator)
        return self._draw(self.clips, settings.clip_batch, settings.clip_noise_bias, generator)

    def _draw(self, pool: Latents, count: int, noise_bias: float, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(pool.shown), (count,), generator=generator)
        clean, covered = (x[chosen].float().transpose(1, 2) for x in (pool.latents, pool.covered))
        captions = [for_denoiser(pool.shown[i], self.settings.captions, generator) for i in chosen.tolist()]
        # Stratified: every batch has timesteps of all kinds.
        timesteps = draw_timesteps(count, self.timesteps, noise_bias, generator, stratified=True)
        noise = torch.randn(clean.shape, generator=generator)
        ids = tokenize(self.tokenizer, captions)
        return Batch(clean, covered, ids, timesteps, noise, self._names(pool.traits[chosen], ids, generator))

    def _names(self, of: Tensor, ids: Tensor, generator: torch.Generator) -> Named:
        named = torch.rand(len(ids), 1, generator=generator) < self.settings.named_share
        where = torch.isin(ids, self.class_words) & named
        noise = self.settings.name_noise * torch.randn(len(ids), self.settings.text_width, generator=generator)
        return Named(of, where.float(), noise)


def pretrain(
    settings: DenoiserSettings,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    photographs: Photographs,
    run: Run,
) -> Conditioned:
    """Run both stages and return UNet and text encoder in eval mode."""
    torch.manual_seed(settings.images.seed)
    model = build(settings, autoencoder, tokenizer).to(run.device)
    unet = model.unet
    if run.device.type == "cpu":
        # In bfloat16 torch's fused attention takes three times as long there: 28 images a second in place of 42.
        unet.set_attn_processor(AttnProcessor())
    alphas = scheduler().alphas_cumprod
    pictures = photograph_latents(photographs, autoencoder, run)

    def loss_of(draw: Callable[[int], Batch]) -> Callable[[int, int], Tensor]:
        drawn = drawn_ahead(draw)

        def loss_at(step: int, _micro: int) -> Tensor:
            batch = drawn(step)
            with run.accelerator.autocast():
                return velocity_loss(
                    model, batch.to(run.device), alphas,
                    cap=settings.snr_cap, individual_weight=settings.individual_weight,
                )  # fmt: skip

        return loss_at

    parameters = dict(model.named_parameters())
    temporal = {id(p) for layer in _temporal_layers(unet) for p in layer.parameters()}
    batches = Batches(settings, pictures, None, tokenizer, len(alphas))
    with temporal_layers_skipped(unet):
        went_on = run_stage(
            "images", model, loss_of(batches.of_images), settings.images, run,
            trained={name: p for name, p in parameters.items() if id(p) not in temporal},
            ema_decay=settings.ema_decay, settings=settings,
        )  # fmt: skip
    if went_on:
        # Clips learnt on the images' former weights are out of date.
        (run.work / "clips.safetensors").unlink(missing_ok=True)
    clips = clip_latents(settings.pool_clips, autoencoder, run)
    batches = Batches(settings, pictures, clips, tokenizer, len(alphas))
    moving = {name: p for name, p in parameters.items() if id(p) in temporal or _reads_text(name)}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in moving)
    run_stage(
        "clips", model, loss_of(batches.of_clips), settings.clips, run,
        trained=moving, ema_decay=settings.ema_decay, settings=settings,
    )  # fmt: skip
    return model.eval().requires_grad_(False)


def _reads_text(name: str) -> bool:
    """Whether the parameter `name` of a `Conditioned` conditions on text: the encoder's, names', cross-attention's."""
    return not name.startswith("unet.") or ".attn2." in name

"""The denoiser's two stages: images first, with the temporal layers skipped, then clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from engine.files import written_aside
from engine.pretraining.settings import DenoiserSettings
from engine.pretraining.stage import run_stage
from engine.pretraining.text_image import tokenize
from engine.sampling import draw_timesteps
from engine.training import generator_at
from engine.world import clips, motions, sprites


class Conditioned(nn.Module):
    """The UNet and the text encoder that conditions it: trained together, as in latent diffusion."""

    def __init__(self, unet: UNet3DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        prediction: Tensor = self.unet(latents, timesteps, self.text_encoder(ids)[0]).sample
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
class Pool:
    """Latents of clips, made ahead: scaled means `(N, F, C, h, w)` in float16, and what each clip shows."""

    latents: Tensor
    specs: list[clips.ClipSpec]


def draw_known(count: int, seed: int) -> list[clips.ClipSpec]:
    """Clips of the known world."""
    words, generator = sprites.words("known"), generator_at(seed, 0, "pool")
    return [clips.draw_spec(generator, words=words) for _ in range(count)]


def draw_nameless(count: int, seed: int) -> list[clips.ClipSpec]:
    """Clips of the known world in which objects move through points drawn by chance."""
    words, generator = sprites.words("known"), generator_at(seed, 0, "nameless")
    return [
        replace(clips.draw_spec(generator, words=words), points=motions.draw_points(generator)) for _ in range(count)
    ]


def make_pool(specs: list[clips.ClipSpec], autoencoder: AutoencoderKL, path: Path, accelerator: Accelerator) -> Pool:
    """Render and encode clips, or read them where that was done before."""
    if path.exists():
        return Pool(load_file(path)["latents"], specs)
    chunks = []
    with torch.no_grad(), accelerator.autocast():
        for i in range(0, len(specs), 16):
            pixels = clips.render(specs[i : i + 16])[0].flatten(0, 1) * 2 - 1
            mean = autoencoder.encode(pixels.to(accelerator.device)).latent_dist.mean
            scaled = mean.float().cpu() * autoencoder.config.scaling_factor
            chunks.append(scaled.unflatten(0, (-1, clips.FRAMES)).half())
    latents = torch.cat(chunks)
    with written_aside(path) as partial:
        save_file({"latents": latents}, partial)
    return Pool(latents, specs)


def caption_of(spec: clips.ClipSpec, settings: DenoiserSettings, generator: torch.Generator) -> str:
    """The caption of a clip or of one of its frames, whole or in part, drawn by chance.

    A single frame's names the motion too: what moves left stands left of the middle more often than not, and
    words that are learnt so, at an image's cost, need only be tied to the time once clips come.
    """
    draw, odd = torch.rand(2, generator=generator).tolist()
    if draw < settings.caption_dropout:
        return ""
    scene = None if draw > 0.82 else spec.scene
    if draw < settings.caption_dropout + 0.2:
        phrase = None
    elif spec.points or odd < settings.odd_word_share:
        phrase = odd_word(generator)
    else:
        phrase = motions.ALL[spec.motion].phrase
    return clips.caption_with(spec.word, phrase, scene)


_ONSETS = ("b", "br", "c", "d", "dr", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "w")


def odd_word(generator: torch.Generator) -> str:
    """A word for a motion that no language has, e.g. "trozuping"."""

    def pick(choices: Sequence[str]) -> str:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    syllables = 1 + int(torch.randint(2, (), generator=generator))
    return "".join(pick(_ONSETS) + pick("aeiou") for _ in range(syllables)) + pick("bdgklmnprtz") + "ing"


def velocity_loss(
    model: Conditioned,
    latents: Tensor,
    ids: Tensor,
    alphas: Tensor,
    *,
    cap: float,
    noise_bias: float,
    generator: torch.Generator,
) -> Tensor:
    """Weighted v-prediction loss on clean latents `(B, C, F, h, w)`.

    In terms of the error of the clean sample the weight is min(SNR + 1, cap): min-SNR (arXiv 2303.09556)
    that still trains the last step, whose SNR is 0. Timesteps are stratified over the batch; a `noise_bias`
    above 1 draws the noisy ones more often, where it is decided who moves where.
    """
    b = latents.shape[0]
    timesteps = draw_timesteps(b, len(alphas), noise_bias, generator, stratified=True)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    kept = alphas[timesteps].view(b, 1, 1, 1, 1).to(latents)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    target = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    error = (model(noisy, timesteps.to(latents.device), ids).float() - target).square().mean(dim=(1, 2, 3, 4))
    # 1 / (1 - alpha) is SNR + 1.
    weight = (1 / (1 - kept.flatten())).clamp(max=cap) * (1 - kept.flatten())
    loss: Tensor = (weight * error).mean()
    return loss


def pretrain(
    settings: DenoiserSettings,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    work: Path,
    accelerator: Accelerator,
) -> Conditioned:
    """Run both stages and return UNet and text encoder in eval mode."""
    torch.manual_seed(settings.images.seed)
    unet = build(settings, autoencoder, text_encoder.config.hidden_size)
    model = Conditioned(unet, text_encoder.requires_grad_(True)).to(accelerator.device)
    alphas = scheduler().alphas_cumprod
    seed = settings.images.seed
    known = make_pool(draw_known(settings.pool_clips, seed), autoencoder, work / "pool.safetensors", accelerator)
    nameless = make_pool(
        draw_nameless(settings.nameless_clips, seed), autoencoder, work / "nameless.safetensors", accelerator
    )

    def loss_on(generator: torch.Generator, count: int, *, still: bool, pool: Pool = known) -> Tensor:
        chosen = torch.randint(len(pool.specs), (count,), generator=generator)
        latents = pool.latents[chosen]
        if still:
            frame = torch.randint(latents.shape[1], (count,), generator=generator)
            latents = latents[torch.arange(count), frame].unsqueeze(1)
        captions = [caption_of(pool.specs[i], settings, generator) for i in chosen.tolist()]
        clean = latents.float().transpose(1, 2).to(accelerator.device)
        ids = tokenize(tokenizer, captions).to(accelerator.device)
        with accelerator.autocast():
            return velocity_loss(
                model, clean, ids, alphas, cap=settings.snr_cap,
                noise_bias=settings.image_noise_bias if still else settings.clip_noise_bias, generator=generator,
            )  # fmt: skip

    def image_loss(step: int, _micro: int) -> Tensor:
        with temporal_layers_skipped(unet):
            return loss_on(generator_at(settings.images.seed, step), settings.image_batch, still=True)

    def clip_loss(step: int, _micro: int) -> Tensor:
        generator = generator_at(settings.clips.seed, step)
        still, unnamed = torch.rand(2, generator=generator).tolist()
        pool = nameless if unnamed < settings.nameless_share else known
        if still < settings.image_step_share:
            return loss_on(generator, settings.image_batch, still=True, pool=pool)
        return loss_on(generator, settings.clip_batch, still=False, pool=pool)

    shared = {"work": work, "accelerator": accelerator, "ema_decay": settings.ema_decay, "settings": settings}
    temporal = {id(p) for layer in _temporal_layers(unet) for p in layer.parameters()}
    spatial = {name: p for name, p in model.named_parameters() if id(p) not in temporal}
    if run_stage("images", model, image_loss, settings.images, trained=spatial, **shared):
        # Clips learnt on the images' former weights are out of date.
        (work / "clips.safetensors").unlink(missing_ok=True)
    run_stage("clips", model, clip_loss, settings.clips, **shared)
    return model.eval().requires_grad_(False)

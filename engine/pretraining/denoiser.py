"""The denoiser's stages, of any family: images first, then clips, then both together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.bases.family import Conditioning
from engine.bases.objectives import Objective
from engine.pretraining import autoencoder, pools, traits
from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.captions import for_denoiser
from engine.pretraining.miniature import Miniature, objective_for
from engine.pretraining.pools import Latents, Photographs
from engine.pretraining.settings import DENOISER_STAGES, DenoiserSettings
from engine.pretraining.stage import Run, copy_stage, run_stage, steps_of
from engine.pretraining.text_image import tokenize
from engine.sampling.levels import Levels
from engine.training import generator_at
from engine.world.individuals import CLASSES


class Conditioned(nn.Module):
    """The denoiser and the text encoder that conditions it: trained together, as in latent diffusion.

    `names` makes of an individual's `traits` what is added to the embedding of the word that names its class. Only
    pretraining has it: what is exported knows words alone.
    """

    def __init__(self, miniature: Miniature, denoiser: nn.Module, text_encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.miniature = miniature
        self.add_module(miniature.family.parts.denoiser, denoiser)
        self.text_encoder = text_encoder
        self.names = nn.Sequential(nn.Linear(traits.COUNT, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    @property
    def denoiser(self) -> nn.Module:
        """By the name that its family has for it, among the weights and in an exported base."""
        return self.get_submodule(self.miniature.family.parts.denoiser)

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor, named: Named | None = None) -> Tensor:
        more = None if named is None else self.embedded(named)
        with _added(self.miniature.embeddings(self.text_encoder), more):
            text = self.miniature.read(self.text_encoder, ids)
        return self.miniature.family.predict(self.denoiser, latents, timesteps, Conditioning(text))

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
def _added(embeddings: nn.Module, more: Tensor | None) -> Iterator[None]:
    """Add to what `embeddings` makes of tokens meanwhile."""
    if more is None:
        yield
        return
    handle = embeddings.register_forward_hook(lambda _module, _ids, found: found + more)
    try:
        yield
    finally:
        handle.remove()


def build(miniature: Miniature, settings: DenoiserSettings, tokenizer: Any) -> Conditioned:
    """The untrained denoiser and text encoder."""
    return Conditioned(miniature, miniature.denoiser(), miniature.text_encoder(tokenizer), settings.text_width)


@dataclass(frozen=True)
class Batch:
    """What one step is computed from: clean latents `(B, C, f, h, w)`, what of them the individual covers
    `(B, 1, f, h, w)`, token ids, levels of noise, noise, and who is named."""

    latents: Tensor
    covered: Tensor
    ids: Tensor
    levels: Levels
    noise: Tensor
    named: Named

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, but for its levels, which stay on the CPU."""
        latents, covered, ids, noise = (x.to(device) for x in (self.latents, self.covered, self.ids, self.noise))
        return replace(self, latents=latents, covered=covered, ids=ids, noise=noise, named=self.named.to(device))


def denoising_loss(
    model: Conditioned,
    batch: Batch,
    objective: Objective,
    weigh: Callable[[Levels], Tensor],
    *,
    individual_weight: float = 1.0,
) -> Tensor:
    """Weighted loss of a batch; the individual's latents weigh `individual_weight`, the scene's 1.

    Weights over the frame don't move what is best to predict; they say what is learnt first.
    """
    levels = batch.levels
    noisy = objective.add_noise(batch.latents, batch.noise, levels)
    target = objective.target(batch.latents, batch.noise, levels)
    places = 1 + (individual_weight - 1) * batch.covered
    predicted = model(noisy, levels.timesteps.to(noisy.device), batch.ids, batch.named)
    error = (places / places.mean() * (predicted.float() - target).square()).mean(dim=(1, 2, 3, 4))
    loss: Tensor = (weigh(levels).to(error.device) * error).mean()
    return loss


class Batches:
    """The batches of the denoiser's stages, each a function of its step."""

    def __init__(
        self,
        settings: DenoiserSettings,
        photographs: Latents,
        clips: Latents | None,
        tokenizer: Any,
        objective: Objective,
    ) -> None:
        self.settings, self.photographs, self.clips = settings, photographs, clips
        self.tokenizer, self.objective = tokenizer, objective
        self.class_words = torch.tensor([tokenizer(word, add_special_tokens=False).input_ids[0] for word in CLASSES])

    def of_images(self, step: int) -> Batch:
        """Single frames."""
        return self._images(generator_at(self.settings.images.seed, step))

    def of_clips(self, step: int) -> Batch:
        """Clips, or now and then single frames."""
        settings, generator = self.settings, generator_at(self.settings.clips.seed, step)
        if self.clips is None or float(torch.rand((), generator=generator)) < settings.image_step_share:
            return self._images(generator)
        return self._draw(self.clips, settings.clip_batch, settings.clip_noise_bias, generator)

    def of_both(self, seed: int, number: int) -> Batch:
        """Single frames at even numbers, clips at odd ones."""
        settings, generator = self.settings, generator_at(seed, number)
        if self.clips is None or number % 2 == 0:
            return self._images(generator)
        return self._draw(self.clips, settings.together_clips, settings.clip_noise_bias, generator)

    def _images(self, generator: torch.Generator) -> Batch:
        settings = self.settings
        return self._draw(self.photographs, settings.image_batch, settings.image_noise_bias, generator)

    def _draw(self, pool: Latents, count: int, noise_bias: float, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(pool.shown), (count,), generator=generator)
        clean, covered = (x[chosen].float().transpose(1, 2) for x in (pool.latents, pool.covered))
        captions = [for_denoiser(pool.shown[i], self.settings.captions, generator) for i in chosen.tolist()]
        # Stratified: every batch has levels of all kinds.
        levels = self.objective.draw(count, noise_bias, generator, stratified=True)
        noise = torch.randn(clean.shape, generator=generator)
        ids = tokenize(self.tokenizer, captions)
        return Batch(clean, covered, ids, levels, noise, self._names(pool.traits[chosen], ids, generator))

    def _names(self, of: Tensor, ids: Tensor, generator: torch.Generator) -> Named:
        named = torch.rand(len(ids), 1, generator=generator) < self.settings.named_share
        where = torch.isin(ids, self.class_words) & named
        noise = self.settings.name_noise * torch.randn(len(ids), self.settings.text_width, generator=generator)
        return Named(of, where.float(), noise)


def pretrain(
    miniature: Miniature,
    settings: DenoiserSettings,
    vae: Any,
    tokenizer: Any,
    photographs: Photographs,
    run: Run,
) -> Conditioned:
    """Run the stages and return denoiser and text encoder in eval mode."""
    torch.manual_seed(settings.images.seed)
    model = build(miniature, settings, tokenizer).to(run.device)
    denoiser = model.denoiser
    miniature.prepare(denoiser, run.device)
    objective = objective_for(miniature)
    encode = autoencoder.encoder_of(miniature, vae)
    with run.accelerator.main_process_first():
        pictures = pools.photograph_latents(photographs, encode, run)
    processes, process = run.accelerator.num_processes, run.accelerator.process_index

    def loss_of(draw: Callable[[int], Batch], a_step: int = 1) -> Callable[[int, int], Tensor]:
        drawn = drawn_ahead(partial(_own, draw, processes, process))

        def loss_at(step: int, micro: int) -> Tensor:
            batch = drawn(a_step * step + micro)
            with run.accelerator.autocast():
                return denoising_loss(
                    model, batch.to(run.device), objective, miniature.weigh,
                    individual_weight=settings.individual_weight,
                )  # fmt: skip

        return loss_at

    parameters = dict(model.named_parameters())
    of_time = {id(p) for p in miniature.of_time(denoiser)}
    batches = Batches(settings, pictures, None, tokenizer, objective)
    with run.accelerator.main_process_first():
        later = _go_on_from_later_stages(run.work, settings)
    for parameter in parameters.values():
        parameter.requires_grad_(id(parameter) not in of_time)
    # What clips have taught the temporal layers to do to a single frame stays in place while images go on.
    with nullcontext() if later else miniature.as_images(denoiser):
        run_stage(
            "images", model, loss_of(batches.of_images), settings.images, run,
            trained={name: p for name, p in parameters.items() if id(p) not in of_time},
            ema_decay=settings.ema_decay, settings=settings,
        )  # fmt: skip
    if run.leads:
        for name in later:
            copy_stage(run.work, "images", name)
    with run.accelerator.main_process_first():
        clips = pools.clip_latents(settings.pool_clips, miniature.frames, encode, run)
    batches = Batches(settings, pictures, clips, tokenizer, objective)
    stay = {id(p) for p in denoiser.parameters()} - {id(p) for p in miniature.of_clips(denoiser)}
    for parameter in parameters.values():
        parameter.requires_grad_(id(parameter) not in stay)
    # Single frames among the clips pass through the temporal layers, as they will when a subject is learnt.
    run_stage(
        "clips", model, loss_of(batches.of_clips), settings.clips, run,
        trained={name: p for name, p in parameters.items() if id(p) not in stay},
        ema_decay=settings.ema_decay, settings=settings,
    )  # fmt: skip
    if settings.together is not None:
        model.requires_grad_(True)
        # One process takes its batches of both kinds in turn; of an even number each keeps to one kind.
        a_step = 1 + processes % 2
        run_stage(
            "together", model, loss_of(partial(batches.of_both, settings.together.seed), a_step),
            replace(settings.together, gradient_accumulation=a_step), run,
            ema_decay=settings.ema_decay, settings=settings,
        )  # fmt: skip
    return model.eval().requires_grad_(False)


def _own(draw: Callable[[int], Batch], processes: int, process: int, n: int) -> Batch:
    """The n-th batch of one of several processes: no two draw the same."""
    return draw(n * processes + process)


def _go_on_from_later_stages(work: Path, settings: DenoiserSettings) -> list[str]:
    """Where images are to go on and more was learnt since, let them go on from the last weights.

    Gives the later stages, which go on from the images' in turn.
    """
    finished = {name: work / f"{name}.safetensors" for name in reversed(DENOISER_STAGES)}
    later = [name for name, file in finished.items() if file.exists() and name != "images"]
    if not later or steps_of(finished["images"]) >= settings.images.steps:
        return []
    copy_stage(work, later[0], "images")
    return later

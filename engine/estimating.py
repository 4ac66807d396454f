"""What a run will take: counted on a model without weights, timed by a moment's arithmetic on the device."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.adapters.choosing import FullWeights
from engine.adapters.forms import fresh
from engine.bases.families import family_named
from engine.bases.family import Conditioning, Family
from engine.bases.load import choose_compute, notes_on, quiet_libraries
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.data.encoding_cost import EncodingCost, encoding_cost
from engine.held_out import held_out_batches
from engine.kept import counting_kept
from engine.memory import base_weights
from engine.methods.common import OptimizerConfig, Recipe, TrainingConfig
from engine.methods.dreamvideo import ComposeConfig
from engine.planning import MotionPlan, SubjectPlan, check_offload, preview_config, sampling_of
from engine.sampling.guidance import guided_steps
from engine.sampling.inversion import REFINEMENTS

if sys.platform != "win32":
    import resource

EFFICIENCY = 0.35
"""Share of a matrix product's speed that a training step reaches: measured between 0.2 and 0.5."""
ENCODING_EFFICIENCY = 0.8
"""The same of encoders, whose layers are larger: measured between 0.6 and 0.9."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take. `parameters` and `steps` are by part; memory is the peak on the device: on the CPU that of
    the whole process. `encoding_seconds` are those of `seconds` before the first step.

    `notes` are things about the device that a person should know before the run starts.
    """

    parameters: dict[str, int]
    steps: dict[str, int]
    peak_bytes: int
    seconds: float
    notes: tuple[str, ...] = ()
    encoding_seconds: float = 0.0


def estimate(
    plan: SubjectPlan | MotionPlan, location: BaseLocation, *, device: str | None, dtype: str, offload: bool = False
) -> Estimate:
    """Count a run's parameters, memory and operations without loading a weight, and guess its time.

    Counts are exact; memory leaves out the allocator's waste; time is good to about a factor of two, and leaves out
    the copying of weights that are offloaded. Raises `InputError` for a device, dtype or method that can't be.
    """
    compute = choose_compute(device, dtype, offload=offload)
    if offload:
        check_offload(plan)
    where, precision = compute.device, compute.dtype
    info, model, family = counted_base(location)
    config, recipe = plan.settings.config, plan.method.recipe(plan.settings.config)
    parameters = trainable_parameters(recipe, model, family, info.cross_attention_dim, info.image_embedding_width)
    steps = {part.name: part.steps for part in recipe.parts}
    frames = 1
    if isinstance(plan, MotionPlan):
        sampling = sampling_of(plan.settings.config, info.layout)
        frames = max(sampling.length(clip.frames, clip.fps) for clip, _ in plan.clips)
    latents = latents_shape(location, config.batch_size, frames, _largest(plan))
    flops, saved = forward_cost(location, latents, precision, config.gradient_checkpointing)
    weights = base_weights(info, model, family.parts, compute)
    trained = sum(parameters.values()) * 4 * 4  # weight, gradient and AdamW's two averages, in float32
    if isinstance(recipe.weights, FullWeights):
        trained += sum(parameters.values()) * precision.itemsize  # the frozen ones stay beside their trained selves
    # A processor copies what was learnt twice to write it, when gradients and activations are gone.
    written = sum(parameters.values()) * 4 if where.type == "cpu" else 0
    micro = config.gradient_accumulation
    forward = flops / (matrix_rate(where, precision) * EFFICIENCY)
    seconds = forward * (passes_of(config) * micro * sum(steps.values()) + _measurements(config, steps))
    seconds += _previews(plan, location, device=device, dtype=dtype)
    encoding = _encoding(plan, info, frames)
    encoding_seconds = encoding.flops / (matrix_rate(where, precision) * ENCODING_EFFICIENCY) + encoding.host_seconds
    encoding_bytes = 4 if family.parts.wide else precision.itemsize
    # Previews are made by the encoders, which else would go.
    staying = weights.encoding(0) if config.preview_every else weights.learning(with_text=recipe.token is not None)
    peak = max(
        weights.loading,
        weights.encoding(encoding.alive * encoding_bytes),
        staying + trained + max(saved, written),
    )
    if where.type == "cpu":
        peak += process_bytes() + encoding.kept * 4
    notes = notes_on(where, precision)
    return Estimate(parameters, steps, peak, seconds + encoding_seconds, notes, encoding_seconds)


def _measurements(config: OptimizerConfig, steps: Mapping[str, int]) -> int:
    """Forward passes for the held-out loss: now and then, and at the end of each part with and without it."""
    if not config.held_out_every:
        return 0
    return sum(
        held_out_batches(config, count) * (max(0, count - 1) // config.held_out_every + 2)
        for count in steps.values()
        if count
    )


def _previews(plan: SubjectPlan | MotionPlan, location: BaseLocation, *, device: str | None, dtype: str) -> float:
    """Seconds that videos take which are made on the way."""
    every = plan.settings.config.preview_every
    recipe = plan.method.recipe(plan.settings.config)
    count = recipe.parts[-1].steps // every if every else 0
    if not count:
        return 0.0
    config = preview_config(plan, counted_base(location)[0])
    return count * composing_seconds(config, location, device=device, dtype=dtype, inverts=recipe.starts_from_clips)


def _encoding(plan: SubjectPlan | MotionPlan, info: BaseInfo, window: int) -> EncodingCost:
    """What encoding the plan's sources takes."""
    sources = [source for source in plan.sources if source.role != "mask"]
    counts = [source.clip.distinct_frames if source.clip is not None else 1 for source in sources]
    pixels = sum(source.width * source.height * count for source, count in zip(sources, counts, strict=True))
    config, coded = plan.settings.config, sum(counts)
    if isinstance(plan, MotionPlan) and info.layout.frame_step > 1:
        sampling = sampling_of(plan.settings.config, info.layout)
        ahead = [frames for clip, _ in plan.clips for frames in sampling.windows_ahead(clip.frames, clip.fps)]
        coded = sum(map(len, ahead))
    appearance = plan.method.recipe(config).guidance is not None or isinstance(plan, SubjectPlan)
    return encoding_cost(
        info, _largest(plan), sum(counts), coded=coded, window=window, source_pixels=pixels, appearance=appearance
    )


def passes_of(config: TrainingConfig) -> int:
    """What a step of training takes, in forward passes: forward, perhaps once more, and backward twice that."""
    return 4 if config.gradient_checkpointing else 3


def _largest(plan: SubjectPlan | MotionPlan) -> tuple[int, int]:
    """The largest size (width, height) that sources are trained at; all are of about one area."""
    return max((source.trained for source in plan.sources), key=lambda size: (size[0] * size[1], size))


def process_bytes() -> int:
    """Bytes of this process's memory: Python and the libraries, before a model is loaded."""
    if sys.platform == "win32":
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def composing_seconds(
    config: ComposeConfig, location: BaseLocation, *, device: str | None, dtype: str, inverts: bool = False
) -> float:
    """What one video will take, guessed as `estimate` guesses: denoising alone, which is nearly all of it, and the
    inversion of a clip where the video starts from one, or from a share of one."""
    compute = choose_compute(device, dtype)
    branches = config.steps + len(guided_steps(config))
    branches += config.steps * (REFINEMENTS + 1) if inverts or config.motion_init else 0
    flops, _ = forward_cost(
        location, latents_shape(location, 1, config.frames, config.size), compute.dtype, checkpointing=False
    )
    return flops * branches / (matrix_rate(compute.device, compute.dtype) * EFFICIENCY)


def trainable_parameters(
    recipe: Recipe, denoiser: nn.Module, family: Family, text_width: int, condition_width: int | None
) -> dict[str, int]:
    """The number of trainable values of each part, on a denoiser without weights.

    `text_width` is that of a token's vectors, `condition_width` that of image embeddings.
    """
    counts = {"token": text_width * recipe.vectors, "weights": 0}
    if recipe.weights is not None:
        with torch.device("meta"):
            weights = fresh(
                recipe.weights,
                family.sites(denoiser),
                family.labels(denoiser),
                denoiser,
                condition_width=condition_width,
                seed=0,
            )
        counts["weights"] = weights.count()
    return {part.name: sum(counts[thing] for thing in part.trains) for part in recipe.parts}


@cache
def counted_base(location: BaseLocation) -> tuple[BaseInfo, nn.Module, Family]:
    """A base's denoiser without weights, and its family. Those who plan many runs ask often."""
    info = inspect_base(location)
    family = family_named(info.family)
    return info, family.skeleton(info), family


def latents_shape(location: BaseLocation, batch: int, frames: int, size: tuple[int, int]) -> tuple[int, ...]:
    """The shape of a batch of latents `(B, C, f, h, w)`."""
    return (batch, *counted_base(location)[0].layout.shape(frames, size))


@cache
def forward_cost(
    location: BaseLocation, latents: tuple[int, ...], precision: torch.dtype, checkpointing: bool
) -> tuple[int, int]:
    """Operations of one forward pass, and the bytes that it keeps for the backward pass."""
    info, model, family = counted_base(location)
    with quiet_libraries():
        model.to(precision)
    inputs = torch.empty(latents, device="meta", dtype=precision)
    shape = (latents[0], info.text_tokens, info.cross_attention_dim)
    text = Conditioning(torch.empty(shape, device="meta", dtype=precision, requires_grad=True))
    timesteps = torch.empty((latents[0],), device="meta")
    with ExitStack() as stack:
        counter = stack.enter_context(FlopCounterMode(display=False))
        kept = stack.enter_context(counting_kept())
        if checkpointing:
            stack.enter_context(family.checkpointed(model))
        family.predict(model, inputs, timesteps, text)
    return counter.get_total_flops(), kept.bytes


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a matrix product of float32, or half precision, on the device."""
    size = 1024 if device.type == "cpu" else 4096
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(4):
        began = time.perf_counter()
        float((a @ b)[0, 0])
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best

"""What tuning a base will take, counted and timed as learning is."""

from __future__ import annotations

from math import prod

import torch

from engine.bases.family import Compute
from engine.bases.load import choose_compute, notes_on
from engine.bases.location import BaseInfo, BaseLocation
from engine.data.encoding_cost import EncodingCost, encoding_cost
from engine.estimating import (
    EFFICIENCY,
    ENCODING_EFFICIENCY,
    Estimate,
    counted_base,
    forward_cost,
    latents_shape,
    matrix_rate,
    passes_of,
    process_bytes,
)
from engine.memory import base_weights
from engine.tuning.planning import TuningPlan
from engine.tuning.training import PART, check_dtype


def estimate_tuning(plan: TuningPlan, location: BaseLocation, *, device: str | None, dtype: str) -> Estimate:
    """Count parameters, memory and operations without loading a weight, and guess the time; see `engine.estimating`.

    Clips are encoded while it trains, which is in the time. Raises `InputError` for a device or dtype that can't be.
    """
    check_dtype(dtype)
    compute = choose_compute(device, dtype)
    where, precision, config = compute.device, compute.dtype, plan.settings.config
    info, model, family = counted_base(location)
    trained = sum(model.get_parameter(name).numel() for name in plan.trained)
    latents = latents_shape(location, config.batch_size, max(plan.lengths), config.size)
    flops, saved = forward_cost(location, latents, precision, config.gradient_checkpointing)
    encoding = _encoding(plan, info)
    seconds = flops * passes_of(config) * config.gradient_accumulation * config.steps / EFFICIENCY
    seconds = (seconds + encoding.flops / ENCODING_EFFICIENCY) / matrix_rate(where, precision) + encoding.host_seconds

    weights = base_weights(info, model, family.parts, Compute(where, torch.float32))
    copies = 4 if config.ema_decay else 3  # the gradient, AdamW's two averages, and that of the weights
    staying = sum(part.bytes for name, part in weights.parts.items() if name not in weights.passing)
    if precision != torch.float32:
        staying += weights.parts[family.parts.denoiser].bytes // 2  # what is computed with, beside what is trained
    peak = max(weights.loading, staying + 4 * copies * trained + max(saved, 4 * encoding.alive))
    if where.type == "cpu":
        peak += process_bytes()
    return Estimate({PART: trained}, {PART: config.steps}, peak, seconds, notes_on(where, precision))


def _encoding(plan: TuningPlan, info: BaseInfo) -> EncodingCost:
    """What encoding takes, of all steps together: each window once, and those that can't be kept each time."""
    config, window = plan.settings.config, max(plan.lengths)
    drawn = config.steps * config.batch_size * config.gradient_accumulation
    there = sum(len(plan.starts(clip)) for clip in range(len(plan.clips)))
    room = config.clip_cache * 2**30 / (2 * 4 * prod(info.layout.shape(window, config.size)))
    kept = min(1.0, room / there)
    frames = window * round(kept * min(drawn, there) + (1 - kept) * drawn)
    pixels = sum(clip.width * clip.height for clip in plan.clips) // len(plan.clips)
    return encoding_cost(
        info, config.size, frames, coded=frames, window=window, source_pixels=pixels * frames, appearance=False
    )

"""What training on a base takes from settings and base: the loop's own settings, and where and how it is computed."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from engine.bases.base import Base
from engine.methods.common import TrainingConfig
from engine.training import LoopConfig


def loop_config(config: TrainingConfig, *, steps: int, learning_rate: float, micro_batches: int) -> LoopConfig:
    """How weights are updated in so many steps of so many micro-batches."""
    return LoopConfig(
        steps=steps,
        learning_rate=learning_rate,
        seed=config.seed,
        optimizer=config.optimizer,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        gradient_accumulation=micro_batches,
        max_grad_norm=config.max_grad_norm,
        decay_steps=round(config.learning_rate_decay * steps),
    )


def accelerator_for(base: Base) -> Accelerator:
    """The accelerator of the device that a base is on, and of what it computes in."""
    half = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(base.dtype, "no")
    # accelerate scales fp16 losses on CUDA only; elsewhere autocast is the base's own affair.
    precision = half if base.device.type == "cuda" else "no"
    return Accelerator(cpu=base.device.type == "cpu", mixed_precision=precision)

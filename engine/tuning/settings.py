"""The settings of tuning a base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from engine.adapters.choosing import SPATIAL, TEMPORAL, Where
from engine.methods.common import TrainingConfig, setting

WHERE: Mapping[str, Where] = MappingProxyType({"all": Where(), "spatial": SPATIAL, "temporal": TEMPORAL})
"""What each choice of `parameters` is. Where space and time are mixed by the same layers, these are in both."""
FROM_MOTIONS = ("size", "frames", "fps")
"""What a base recommends for motions and holds for all clips: what it was trained on itself."""


@dataclass(frozen=True)
class TuningConfig(TrainingConfig):
    """Steps, frames and size are the paper's (appendix A); of the rest it says nothing."""

    batch_size: int = setting(4, "Clips a step.", least=1, below=10_000, origin="dv")
    offset_noise: float = setting(0.0, "Strength of the noise that is constant over a frame.", least=0, origin="dv")
    snapshot_every: int = setting(
        1000, "Steps between the snapshots that a stopped run goes on from.", least=1, origin="dv"
    )
    parameters: Literal["all", "spatial", "temporal"] = setting(
        "all", "Which of the denoiser's parameters are trained.", choices=("all", "spatial", "temporal"), origin="dv"
    )
    steps: int = setting(30_000, "Steps of training.", least=1)
    learning_rate: float = setting(1e-5, "Learning rate.", least=0, origin="dv")
    """That of the paper's other fine-tuning of whole models (A.2)."""
    frames: int = setting(32, "Frames of a training window.", least=2, below=10_000)
    fps: float = setting(8.0, "Frame rate to which clips are thinned.", least=0.001, below=1000)
    p_zero: float = setting(0.1, "Probability of the empty caption.", least=0, below=1, origin="dv")
    """Guidance needs a prediction for the empty prompt, which is forgotten without it (arXiv 2207.12598)."""
    ema_decay: float = setting(
        0.9999, "Decay a step of the moving average of the weights, which is what is kept; 0 keeps the weights.",
        least=0, below=0.9999999, origin="dv",
    )  # fmt: skip
    clip_cache: float = setting(
        20.0, "GiB of encoded clips that are kept on disk while it runs; others are encoded again.", least=0,
        origin="dv",
    )  # fmt: skip

"""Tune-A-Video (arXiv 2212.11565) as the paper compares with it: an image model, inflated over time, learns one motion
(appendix A.3). A composition starts from the clip's own latents, inverted to noise."""

from __future__ import annotations

from dataclasses import dataclass

from engine.adapters.choosing import INFLATED_QUERIES, FullWeights
from engine.methods.common import Method, MotionSettings, Part, Recipe, setting


@dataclass(frozen=True)
class TuneAVideoConfig(MotionSettings):
    """Appendix A.3; what that leaves out is as in Tune-A-Video's own code, which drops no caption and has no other
    noise."""

    steps: int = setting(500, "Steps of training.", least=1)
    learning_rate: float = setting(3e-5, "Learning rate.", least=0)
    offset_noise: float = setting(0.0, "Strength of the noise that is constant over a frame.", least=0, origin="dv")
    p_zero: float = setting(0.0, "Probability of the empty caption.", least=0, below=1, origin="dv")


def recipe(config: TuneAVideoConfig) -> Recipe:
    """What the image model's attentions ask for, and all of the new attention over frames (section 3.2)."""
    part = Part("weights", ("weights",), config.steps, config.learning_rate)
    return Recipe((part,), weights=FullWeights(INFLATED_QUERIES), starts_from_clips=True)


METHODS = (
    Method(
        "tune-a-video",
        "motion",
        TuneAVideoConfig,
        recipe,
        "queries of the image model's attentions, and new attention over frames",
        "A.3",
        TuneAVideoConfig.for_clips,
        families=("stable_diffusion",),
    ),
)

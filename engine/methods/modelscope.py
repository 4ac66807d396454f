"""ModelScopeT2V fine-tuning: spatial parameters for a subject, temporal ones for a motion (paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.adapters.choosing import TEMPORAL, TEMPORAL_AND_TIME, FullWeights
from engine.methods.common import Method, MotionSettings, Part, Recipe, setting
from engine.methods.dreamix import DreamixConfig
from engine.methods.dreamix import recipe as subject_recipe


@dataclass(frozen=True)
class FineTuningConfig(MotionSettings):
    """Appendix A.2: 1000 steps at 1e-5 for one clip as for several."""

    time_embedding: bool = setting(
        True, "Train the embedding of the time of denoising, too, with the temporal parameters.", origin="authors"
    )


def motion_recipe(config: FineTuningConfig) -> Recipe:
    """Everything temporal: transformers and convolutions over frames, and what the authors' code counts with them."""
    where = TEMPORAL_AND_TIME if config.time_embedding else TEMPORAL
    part = Part("weights", ("weights",), config.steps, config.learning_rate)
    return Recipe((part,), weights=FullWeights(where))


METHODS = (
    Method(
        "modelscope",
        "subject",
        DreamixConfig,
        subject_recipe,
        "all spatial parameters, as Dreamix",
        "A.3",
        lambda _images: DreamixConfig(),
    ),
    Method(
        "modelscope",
        "motion",
        FineTuningConfig,
        motion_recipe,
        "all temporal parameters, and the time embedding",
        "A.2",
        FineTuningConfig.for_clips,
    ),
)

"""ModelScopeT2V fine-tuning: spatial parameters for a subject, temporal ones for a motion (paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.adapters.choosing import TEMPORAL, FullWeights
from engine.methods.common import Method, MotionSettings, Part, Recipe
from engine.methods.dreamix import DreamixConfig
from engine.methods.dreamix import recipe as subject_recipe


@dataclass(frozen=True)
class FineTuningConfig(MotionSettings):
    """Appendix A.2: 1000 steps at 1e-5 for one clip as for several."""


def _for_clips(count: int) -> FineTuningConfig:
    return FineTuningConfig() if count > 1 else FineTuningConfig(batch_size=1)


def motion_recipe(config: FineTuningConfig) -> Recipe:
    """Everything temporal: transformers and convolutions over frames."""
    part = Part("weights", ("weights",), config.steps, config.learning_rate)
    return Recipe((part,), weights=FullWeights(TEMPORAL))


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
        "all temporal parameters",
        "A.2",
        _for_clips,
    ),
)

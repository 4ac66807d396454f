"""AnimateDiff (arXiv 2307.04725) as the paper compares with it: an image model by DreamBooth, its motion module
fine-tuned; the two are put together while a video is made (appendix A.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.adapters.choosing import IMAGE_MODEL, TEMPORAL, FullWeights
from engine.methods.common import Method, MotionSettings, Part, Recipe, setting
from engine.methods.dreamix import DreamixConfig
from engine.methods.dreamix import recipe as recipe_of_dreamix

_FAMILIES = ("animatediff",)


@dataclass(frozen=True)
class MotionModuleConfig(MotionSettings):
    """Appendix A.3. From scratch, as AnimateDiff's authors train it, videos were unstable: it is fine-tuned."""

    steps: int = setting(50, "Steps of training.", least=1)


def subject_recipe(config: DreamixConfig) -> Recipe:
    """DreamBooth (arXiv 2208.12242): the whole image model, which draws a frame alone without the motion module."""
    return replace(recipe_of_dreamix(config), weights=FullWeights(IMAGE_MODEL))


def motion_recipe(config: MotionModuleConfig) -> Recipe:
    """The whole motion module."""
    part = Part("weights", ("weights",), config.steps, config.learning_rate)
    return Recipe((part,), weights=FullWeights(TEMPORAL))


METHODS = (
    Method(
        "animatediff",
        "subject",
        DreamixConfig,
        subject_recipe,
        "the whole image model (DreamBooth)",
        "A.3",
        lambda _images: DreamixConfig(),
        families=_FAMILIES,
    ),
    Method(
        "animatediff",
        "motion",
        MotionModuleConfig,
        motion_recipe,
        "the whole motion module",
        "A.3",
        MotionModuleConfig.for_clips,
        families=_FAMILIES,
    ),
)

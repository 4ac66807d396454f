"""Dreamix (arXiv 2302.01329) as the paper reproduces it: DreamBooth's prompt, all spatial parameters trained."""

from __future__ import annotations

from dataclasses import dataclass

from engine.adapters.choosing import SPATIAL, FullWeights
from engine.methods.common import IdentifierSettings, Method, Part, Recipe, called, setting


@dataclass(frozen=True)
class DreamixConfig(IdentifierSettings):
    """Appendix A.1; of its 100 to 200 steps the most. Without images of the class (prior preservation), of
    which the paper says nothing."""

    steps: int = setting(200, "Steps of training.", least=1)
    learning_rate: float = setting(1e-5, "Learning rate.", least=0)


def recipe(config: DreamixConfig) -> Recipe:
    """Everything spatial, the time embedding and the temporal layers frozen."""
    part = Part("weights", ("weights",), config.steps, config.learning_rate, f"a {called(config.identifier)}")
    return Recipe((part,), weights=FullWeights(SPATIAL), word=called(config.identifier))


METHODS = (
    Method(
        "dreamix",
        "subject",
        DreamixConfig,
        recipe,
        "all spatial parameters",
        "A.1",
        lambda _images: DreamixConfig(),
    ),
)

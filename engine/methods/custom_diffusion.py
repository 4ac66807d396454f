"""Custom Diffusion (arXiv 2212.04488): keys and values of cross-attention together with a new word."""

from __future__ import annotations

from dataclasses import dataclass

from engine.adapters.choosing import SPATIAL_CROSS_ATTENTION_KV, FullWeights, Token
from engine.methods.common import CLASS, Method, Part, Recipe, SubjectSettings, TokenSettings, setting


@dataclass(frozen=True)
class CustomDiffusionConfig(TokenSettings, SubjectSettings):
    """Appendix A.1. Without its images of the class (prior preservation), of which the paper says nothing."""

    steps: int = setting(250, "Steps of training.", least=1)
    learning_rate: float = setting(4e-5, "Learning rate.", least=0)
    token_start_id: int = setting(
        42170, "Token of the vocabulary that the new one starts as; the class word where there is none.", least=0
    )


def recipe(config: CustomDiffusionConfig) -> Recipe:
    """The token stands before the class word, and is trained at once with what reads the text."""
    word = f"* {CLASS}"
    part = Part("weights", ("token", "weights"), config.steps, config.learning_rate, f"a {word}")
    token = Token(config.token_start_id, config.token_vectors)
    return Recipe((part,), token, FullWeights(SPATIAL_CROSS_ATTENTION_KV), word)


METHODS = (
    Method(
        "custom-diffusion",
        "subject",
        CustomDiffusionConfig,
        recipe,
        "keys and values of spatial cross-attention, and a token",
        "A.1",
        lambda _images: CustomDiffusionConfig(),
    ),
)

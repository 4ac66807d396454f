"""Textual Inversion (arXiv 2208.01618): a subject as one new word, nothing else trained."""

from __future__ import annotations

from dataclasses import dataclass

from engine.adapters.choosing import Token
from engine.errors import InputError
from engine.methods.common import Method, Part, Recipe, SubjectSettings, TokenSettings, setting


@dataclass(frozen=True)
class TextualInversionConfig(TokenSettings, SubjectSettings):
    """DreamVideo's own first step, alone (paper, appendix A.1)."""

    token_steps: int = setting(3000, "Steps of textual inversion.", least=1)
    token_learning_rate: float = setting(1e-4, "Learning rate of textual inversion.", least=0)
    token_prompt: str = setting("a *", "Prompt of the training images; * is the new token.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token_prompt.count("*") != 1:
            raise InputError(f'`token_prompt` is "{self.token_prompt}": it must hold exactly one *')


def recipe(config: TextualInversionConfig) -> Recipe:
    """The token, starting from the class word."""
    return Recipe(
        (
            Part(
                "token",
                ("token",),
                config.token_steps,
                config.token_learning_rate,
                config.token_prompt,
                "token_learning_rate",
            ),
        ),
        Token(vectors=config.token_vectors),
    )


METHODS = (
    Method(
        "textual-inversion",
        "subject",
        TextualInversionConfig,
        recipe,
        "a token",
        "A.1",
        lambda _images: TextualInversionConfig(),
    ),
)

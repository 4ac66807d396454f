"""What tokenizers of every text encoder do with a prompt: a word of their own is the learnt token, and so much fits.

Where the token has several vectors, the word stands there as often, in a row.
"""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

from engine.bases.family import PromptFit
from engine.prompts import PLACEHOLDER, TOKEN, words_beyond


class TokenizerPrompts:
    """Prompts by a library's tokenizer, which is given a word for the learnt token; they have up to `limit` tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int) -> None:
        self.tokenizer, self.limit = tokenizer, limit
        self.tokenizer.add_tokens([TOKEN])

    @property
    def token_id(self) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(TOKEN))

    def fit(self, prompt: str, *, vectors: int = 0) -> PromptFit:
        def count(text: str) -> int:  # without the tokenizer's own warning: the words are named by us
            return len(self.tokenizer(self.written(text, vectors), verbose=False).input_ids)

        return PromptFit(count(prompt), self.limit, words_beyond(prompt, count, self.limit))

    def written(self, prompt: str, vectors: int) -> str:
        """What the tokenizer is given: its word for the learnt token, once for each of its `vectors`, stands where the
        prompt has `*`; with none, `*` is ordinary text."""
        plain = without_token(self.cleaned(prompt))
        return plain.replace(PLACEHOLDER, f" {TOKEN * vectors} ") if vectors else plain

    def cleaned(self, prompt: str) -> str:
        """The prompt as the encoder was trained to read it."""
        return prompt


def without_token(text: str) -> str:
    """The text with our own word for the token, should somebody write it, as ordinary words."""
    return re.sub(re.escape(TOKEN), TOKEN[1:-1], text, flags=re.IGNORECASE)

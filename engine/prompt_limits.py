"""Words that a text encoder never reads: named before the work, and refused where the subject is among them.

Only a tokenizer is loaded, and only for texts that might be too long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from engine.bases.location import BaseInfo, BaseLocation
from engine.errors import InputError
from engine.prompts import MOST_VECTORS, PLACEHOLDER, with_subject_word

if TYPE_CHECKING:
    from engine.bases.family import Prompts

_LONG_NAME = MOST_VECTORS + 40
"""More tokens than a subject takes: a learnt token and a class word, which rarely has 40 characters."""
_SHOWN = 60
"""Characters of a long text that a message holds."""


class PromptLimit:
    """How much of a text `reader`, a base or a judge in words, can read: `tokens` at most."""

    def __init__(self, reader: str, tokens: int, load: Callable[[], Prompts]) -> None:
        self.reader, self.tokens, self._load = reader, tokens, load

    @cached_property
    def _prompts(self) -> Prompts:
        return self._load()

    def surely_fits(self, text: str, characters: int) -> bool:
        """Whether a text of so many characters is read whole: a token is at least a byte, and two mark the ends."""
        return text.isascii() and characters + 2 <= self.tokens

    def notes(self, texts: Iterable[str], *, vectors: int = 0, mark: str = "") -> tuple[str, ...]:
        """A sentence for each text of which words are never read. A `*` is a learnt token of so many `vectors`; with
        none it is ordinary text.

        Raises `InputError` where a `mark` in it, what stands for the subject, would be cut off.
        """
        return tuple(note for text in dict.fromkeys(texts) if (note := self._note(text, vectors, mark)))

    def _note(self, text: str, vectors: int, mark: str) -> str:
        if self.surely_fits(text, len(text) + vectors * text.count(PLACEHOLDER)):
            return ""
        fit = self._prompts.fit(text, vectors=vectors)
        if not fit.dropped:
            return ""
        limits = f'"{_shown(text)}" has {fit.tokens} tokens, and {self.reader} reads {fit.limit}'
        upto = text[: text.rfind(mark) + len(mark)] if mark and mark in text else ""
        if upto and self._prompts.fit(upto, vectors=vectors).tokens > fit.limit:
            raise InputError(f"{limits}: {mark}, the subject, would be cut off; shorten the text, or write it earlier")
        return f'{limits}: "{fit.dropped}" is never read'


_OF_BASES: dict[BaseLocation, PromptLimit] = {}
_OF_JUDGES: dict[Path, PromptLimit] = {}


def limit_of_base(info: BaseInfo) -> PromptLimit:
    """What a base's text encoder reads. Its tokenizer is kept for the next that asks."""

    def load() -> Prompts:
        from engine.bases.load import prompts_of

        return prompts_of(info)

    reader = f"the base {info.location.name}"
    return _OF_BASES.setdefault(info.location, PromptLimit(reader, info.text_tokens, load))


def notes_on_composing(info: BaseInfo, prompt: str, negative_prompt: str, subject: Path | None) -> tuple[str, ...]:
    """What of a prompt and of a negative one the base never reads; `subject` is the folder of an adapter.

    Raises `InputError` where the subject would be cut off, `AdapterError` for an adapter that is damaged.
    """
    limit = limit_of_base(info)
    if not subject or limit.surely_fits(prompt, len(prompt) + _LONG_NAME * prompt.count(PLACEHOLDER)):
        return limit.notes((prompt, negative_prompt))
    from engine.adapters.storage import called_of

    word, vectors = called_of(subject)
    notes = limit.notes([with_subject_word(prompt, word)], vectors=vectors, mark=word)
    return (*notes, *limit.notes([negative_prompt]))


def limit_of_judge(model: str | Path) -> PromptLimit:
    """What the text tower of a CLIP that judges reads. Raises `BaseError` where there is no such model."""
    from engine.evaluation.judge_files import judge_folder

    folder = judge_folder(model)

    def load() -> Prompts:
        from engine.evaluation.judges import prompts_of_clip

        return prompts_of_clip(folder)

    return _OF_JUDGES.setdefault(folder, PromptLimit("the CLIP that judges", judge_tokens(folder), load))


def judge_tokens(folder: Path) -> int:
    """The positions of a CLIP's text tower; the class's default where its config leaves them out."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return int(config["text_config"]["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError):
        return 77


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"

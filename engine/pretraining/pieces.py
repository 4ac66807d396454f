"""T5's kind of tokenizer (unigram, arXiv 1804.10959) for the world's captions: its words are pieces, and letters."""

from __future__ import annotations

import string
from pathlib import Path

from transformers import T5TokenizerFast

from engine.pretraining.captions import caption
from engine.world import backgrounds, motions
from engine.world.colours import WORDS
from engine.world.individuals import FORMS

_START = "▁"  # what T5's pieces have in place of the space before a word


def kept(folder: Path, *, max_tokens: int) -> T5TokenizerFast:
    """The tokenizer in `folder`, saved there first where there is none: the ids stay, whatever the world's words do."""
    if not folder.is_dir():
        build(max_tokens=max_tokens).save_pretrained(folder)
    return T5TokenizerFast.from_pretrained(folder)


def build(*, max_tokens: int) -> T5TokenizerFast:
    """One piece a word of the world, one a printable character. A longer piece is likelier than its parts."""
    words = [_START + word for word in _words()]
    letters = [*string.ascii_letters, *string.digits, *string.punctuation]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -1.0) for piece in words]
    pieces += [("ing", -2.0), (_START, -3.0), *((letter, -3.0) for letter in letters)]
    return T5TokenizerFast(vocab=pieces, extra_ids=4, model_max_length=max_tokens)


def _words() -> list[str]:
    """The words of captions, those of motions and scenes among them, in order."""
    told = [caption(class_word) for class_word in FORMS]
    told += WORDS
    told += [motion.phrase for motion in motions.KNOWN.values()]
    told += backgrounds.PHRASES.values()
    return sorted({word for text in told for word in text.split()} | {"an"})

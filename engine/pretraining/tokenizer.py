"""The tokenizer: byte-level BPE in CLIP's layout, with every byte in it, so that no prompt meets an unknown token."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from engine.pretraining.captions import caption
from engine.world import backgrounds, motions
from engine.world.colours import WORDS
from engine.world.individuals import FORMS

START, END = "<|startoftext|>", "<|endoftext|>"


def kept(folder: Path, *, merges: int, max_tokens: int) -> CLIPTokenizer:
    """The tokenizer in `folder`, learnt and saved there first where there is none.

    Learning it twice may swap two merges that are equally frequent, and with them the meaning of two ids.
    """
    if not folder.is_dir():
        build(merges=merges, max_tokens=max_tokens).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def build(*, merges: int, max_tokens: int) -> CLIPTokenizer:
    """Learn `merges` merges from the world's captions."""
    learnt = _learn_merges(_captions(), merges)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*alphabet, *(c + "</w>" for c in alphabet)]
    vocabulary += ["".join(pair) for pair in learnt]
    unique = list(dict.fromkeys([*vocabulary, START, END]))
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(unique)}, merges=learnt, model_max_length=max_tokens)


def _captions() -> list[str]:
    """Captions of the world, often enough that each of its words becomes a whole token, those held out, too."""
    return [
        caption(class_word, colour, motion.phrase, scene)
        for class_word in FORMS
        for colour in WORDS
        for motion in motions.KNOWN.values()
        for scene in backgrounds.PHRASES.values()
    ]


def _learn_merges(texts: list[str], count: int) -> list[tuple[str, str]]:
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)])
    trainer = trainers.BpeTrainer(
        vocab_size=512 + count,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    pairs = json.loads(trained.to_str())["model"]["merges"]
    return [(str(a), str(b)) for a, b in pairs][:count]

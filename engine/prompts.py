"""The subject's place in a prompt: `*`, or its name as a whole word."""

from __future__ import annotations

import re

from engine.errors import InputError

PLACEHOLDER = "*"
"""What people write for the subject."""

TOKEN = "<dv-subject>"
"""The tokenizer's own word for the learnt token, in no vocabulary, as `*` is in CLIP's."""


def place_subject(prompt: str, *, subject: str | None, class_word: str | None) -> str:
    """Return `prompt` with the subject's name written as `*`.

    Raises `InputError` where a subject is given and the prompt has no place for it (the message shows the
    corrected prompt), and where the prompt has a `*` and no subject is given.
    """
    if subject is None:
        if PLACEHOLDER in prompt:
            raise InputError(
                f'the prompt "{prompt}" has a * but no subject: add --subject NAME, or write a word instead'
            )
        return prompt
    placed = re.sub(rf"(?<!\w){re.escape(subject)}(?!\w)", PLACEHOLDER, prompt, flags=re.IGNORECASE)
    if PLACEHOLDER in placed:
        return placed
    corrected = None
    if class_word:
        found = re.sub(rf"(?<!\w){re.escape(class_word)}(?!\w)", PLACEHOLDER, prompt, count=1, flags=re.IGNORECASE)
        corrected = found if found != prompt else None
    corrected = corrected or f"a {PLACEHOLDER} {prompt}".strip()
    raise InputError(f'the prompt "{prompt}" has no place for {subject}: write * where it goes, as in "{corrected}"')


def with_class_word(prompt: str, *, subject: str | None, class_word: str | None) -> str:
    """Return `prompt` as a model reads it that never learnt the subject: its class word for `*` and its name.

    Raises `InputError` where the prompt has a `*` and there is no class word for it.
    """
    if class_word is None:
        if PLACEHOLDER in prompt:
            raise InputError(
                f'the prompt "{prompt}" has a * and no subject to say what it stands for: name it with --subject, '
                'or write its class word with --prompt, as in --prompt "a dog is running"'
            )
        return prompt
    named = rf"(?<!\w){re.escape(subject)}(?!\w)" if subject else r"(?!)"
    return re.sub(named, lambda _: class_word, prompt, flags=re.IGNORECASE).replace(PLACEHOLDER, class_word)

"""The subject's place in a prompt: `*`, or, where there is no `*`, its name as a whole word."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable

from engine.errors import InputError

PLACEHOLDER = "*"
"""What people write for the subject."""

TOKEN = "<dv-subject>"
"""The tokenizer's own word for the learnt token, in no vocabulary, as `*` is in CLIP's."""

MOST_VECTORS = 32
"""Of a learnt token: with more, no text encoder here has room for a sentence around it."""


def check_text(text: str, what: str) -> str:
    """Return `text`. Raises `InputError` where its bytes aren't text, as the command line may bring them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} is not text: {text!r} has bytes that aren't UTF-8") from None
    return text


def place_subject(prompt: str, *, subject: str | None, class_word: str | None, identifier: str | None = None) -> str:
    """Return `prompt` with the subject's name, or its identifier and class word ("sks dog"), written as `*`.

    Once a `*` is written, names are words: "a * chases another dog" has one place, whatever the subject's name.
    Raises `InputError` where a subject is given and the prompt has no place for it (the message shows the
    corrected prompt), and where the prompt has a `*` and no subject is given.
    """
    if subject is None:
        if PLACEHOLDER in prompt:
            raise InputError(
                f'the prompt "{prompt}" has a * but no subject: name it with `subject`, or write a word instead'
            )
        return prompt
    if PLACEHOLDER in prompt:
        return prompt
    names = [subject, *([f"{identifier} {class_word}"] if identifier and class_word else [])]
    placed = prompt
    for name in names:
        placed = _replaced(placed, name, PLACEHOLDER)
    if PLACEHOLDER in placed:
        return placed
    corrected = None
    if class_word:
        found = _replaced(prompt, class_word, PLACEHOLDER, count=1)
        corrected = found if PLACEHOLDER in found else None
    corrected = corrected or f"a {PLACEHOLDER} {prompt}".strip()
    raise InputError(f'the prompt "{prompt}" has no place for {subject}: write * where it goes, as in "{corrected}"')


def with_class_word(prompt: str, *, subject: str | None, class_word: str | None) -> str:
    """Return `prompt` as a model reads it that never learnt the subject: its class word for `*` and its name.

    Raises `InputError` where the prompt has a `*` and there is no class word for it.
    """
    if class_word is None:
        if PLACEHOLDER in prompt:
            raise InputError(
                f'the prompt "{prompt}" has a * and no subject to say what it stands for: name it with `subject`, '
                'or write its class word with `prompt`, as in `prompt` "a dog is running"'
            )
        return prompt
    if PLACEHOLDER in prompt or not subject:
        return prompt.replace(PLACEHOLDER, class_word)
    return _replaced(prompt, subject, class_word)


def _replaced(prompt: str, name: str, by: str, *, count: int = 0) -> str:
    """Replace a name where it stands as a whole word. Accents count alike however they are composed, and a prompt
    without the name stays as it is."""
    prompt_, name_ = (unicodedata.normalize("NFC", text) for text in (prompt, name))
    pattern = rf"(?<!\w){re.escape(name_)}(?!\w)"
    found = re.sub(pattern, lambda _: by, prompt_, count=count, flags=re.IGNORECASE)
    return found if found != prompt_ else prompt


def with_subject_word(prompt: str, word: str, written: str = PLACEHOLDER) -> str:
    """Return `prompt` with the word that a subject was learnt by (`*`, "* dog" or "sks dog") for what is `written`.

    A class word that already follows is not repeated: "a * dog" is "a sks dog" too.
    """
    _, _, class_word = word.partition(" ")
    doubled = rf"(?:\s+{re.escape(class_word)}(?!\w))?" if class_word else ""
    return re.sub(re.escape(written) + doubled, lambda _: word, prompt, flags=re.IGNORECASE)


def words_beyond(text: str, count: Callable[[str], int], limit: int) -> str:
    """The words of `text`, from the first that is cut on, that an encoder of at most `limit` tokens never reads;
    "" for none. `count` tells the tokens of a text, the marks of start and end among them."""
    if count(text) <= limit:
        return ""
    words = text.split()
    fitting = bisect_right(range(len(words)), limit, key=lambda kept: count(" ".join(words[:kept])))
    return " ".join(words[max(fitting - 1, 0) :])

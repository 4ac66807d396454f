"""How the world's captions and prompts are worded."""

from __future__ import annotations


def sentence(name: str, *phrases: str) -> str:
    """Who, and what is said of them: "a brown dog moving right on grass", "an orange boat at night"; empty phrases are
    left out."""
    article = "an" if name[0] in "aeiou" else "a"
    return " ".join([article, name, *(phrase for phrase in phrases if phrase)])

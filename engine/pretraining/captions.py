"""What is said of a picture or a clip while training: the class, at times a coarse colour, never more of who it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.pretraining.pools import Shown
from engine.pretraining.settings import CaptionSettings
from engine.world import backgrounds, motions
from engine.world.wording import sentence

_ONSETS = ("b", "br", "c", "d", "dr", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "w")


def caption(class_word: str, colour: str = "", phrase: str = "", scene: str = "") -> str:
    """The caption with what is given, e.g. "a brown dog moving right on grass"; an `an` stands before a vowel."""
    return sentence(f"{colour} {class_word}" if colour else class_word, phrase, scene)


def of_photograph(shown: Shown, generator: torch.Generator) -> str:
    """What a picture shows: the colour in half of the captions, the scene in four of five."""
    coloured, placed = torch.rand(2, generator=generator).tolist()
    return caption(
        shown.class_word,
        shown.colour if coloured < 0.5 else "",
        scene=backgrounds.PHRASES[shown.scene] if placed < 0.8 else "",
    )


def for_denoiser(shown: Shown, settings: CaptionSettings, generator: torch.Generator) -> str:
    """The caption of a clip or of one of its frames, whole or in part, drawn by chance; empty in some.

    A single frame's names the motion too: what moves left stands left of the middle more often than not, and
    words that are learnt so, at an image's cost, need only be tied to the time once clips come.
    """
    dropped, coloured, moving, odd, placed = torch.rand(5, generator=generator).tolist()
    if dropped < settings.dropped:
        return ""
    phrase = ""
    if shown.motion != "" and moving < settings.motion:
        named = shown.motion is not None and odd >= settings.odd_motion
        phrase = motions.ALL[str(shown.motion)].phrase if named else odd_word(generator) + "ing"
    return caption(
        shown.class_word,
        shown.colour if coloured < settings.colour else "",
        phrase,
        backgrounds.PHRASES[shown.scene] if placed < settings.scene else "",
    )


def odd_word(generator: torch.Generator) -> str:
    """A word that no language has, e.g. "trozup"."""

    def pick(choices: Sequence[str]) -> str:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    syllables = 1 + int(torch.randint(2, (), generator=generator))
    return "".join(pick(_ONSETS) + pick("aeiou") for _ in range(syllables)) + pick("bdgklmnprtz")

"""What the base is asked for and what it is taught: drawn from the world, on seeds of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.world import backgrounds, motions, pictures
from engine.world.individuals import CLASSES, Individual, colour_word, individual
from engine.world.wording import sentence

Frames = npt.NDArray[np.uint8]
SEED = 7310
"""Base of every draw here; pretraining draws from streams of other names, so nothing of it was seen."""
MOTION_CLIPS = 3


@dataclass(frozen=True)
class Asked:
    """A clip to be generated: its prompt and seed, and what should be seen in it."""

    prompt: str
    seed: int
    one: Individual
    motion: str
    scene: str

    def named(self, name: str) -> Asked:
        """The same clip, asked for by another name, such as `*` or "brown dog"."""
        return replace(self, prompt=prompt_of(name, self.motion, self.scene))

    def rendered(self) -> pictures.Clip:
        """A rendering of what is asked for: the most that could be got."""
        return pictures.clip(self.one, self.motion, self.seed, scene=self.scene)


def prompt_of(name: str, motion: str, scene: str) -> str:
    """A prompt such as "a dog zigzagging on the beach"."""
    return sentence(name, motions.ALL[motion].phrase, backgrounds.PHRASES[scene])


def coloured(one: Individual) -> str:
    """The class with its colour word: the most that words can say of an individual."""
    return f"{colour_word(one)} {one.class_word}"


def subjects(count: int, split: str = "figures") -> list[Individual]:
    """Individuals of a split, a class each until all have had one."""
    return [individual(CLASSES[i % len(CLASSES)], SEED + i, split) for i in range(count)]


def in_known_words(count: int) -> list[Asked]:
    """Clips asked for by what the base knows: classes, motions and scenes in turn, a colour word in half of them."""
    moving, places = list(motions.KNOWN), list(backgrounds.PHRASES)
    found = []
    for i in range(count):
        one = individual(CLASSES[i % len(CLASSES)], SEED + 100 + i, "train")
        motion, scene = moving[(i + i // len(CLASSES)) % len(moving)], places[(i * 3 + i // 30) % len(places)]
        name = coloured(one) if i % 2 else one.class_word
        found.append(Asked(prompt_of(name, motion, scene), SEED + i, one, motion, scene))
    return found


def of_subject(one: Individual, stream: int, count: int) -> list[Asked]:
    """What is asked of a subject: known motions and scenes in turn, begun elsewhere for each subject."""
    moving, places = list(motions.KNOWN), list(backgrounds.PHRASES)
    return [
        _of(one, moving[(stream + i) % len(moving)], places[(2 * stream + 3 * i) % len(places)], 10 + stream, i)
        for i in range(count)
    ]


def of_motion(motion: str, stream: int, count: int) -> list[Asked]:
    """What is asked of a motion: individuals of other classes than its clips', by their class and colour word."""
    places = list(backgrounds.PHRASES)
    words = [word for word in CLASSES if word not in {one.class_word for one in taught_by(motion)}]
    split = _split_of(motion)
    ones = [individual(words[(2 * stream + i) % len(words)], SEED + 50 + i, split) for i in range(count)]
    asked = [_of(one, motion, places[(stream + 3 * i) % len(places)], 40 + stream, i) for i, one in enumerate(ones)]
    return [one.named(coloured(one.one)) for one in asked]


def of_both(one: Individual, moving: Sequence[str], stream: int) -> list[Asked]:
    """Every motion once, asked of one subject."""
    places = list(backgrounds.PHRASES)
    return [_of(one, motion, places[(stream + 4 * i) % len(places)], 60 + stream, i) for i, motion in enumerate(moving)]


def taught_by(motion: str) -> list[Individual]:
    """Who moves in a motion's training clips: other classes for each motion."""
    first = MOTION_CLIPS * list(motions.ALL).index(motion)
    split = _split_of(motion)
    return [individual(CLASSES[(first + i) % len(CLASSES)], SEED + 20 + i, split) for i in range(MOTION_CLIPS)]


def _split_of(motion: str) -> str:
    """Motions for choosing settings are shown by individuals for choosing settings."""
    return "figures" if motion in motions.HELD_OUT else "settings"


def _of(one: Individual, motion: str, scene: str, stream: int, i: int) -> Asked:
    return Asked(prompt_of("*", motion, scene), SEED + 1000 * stream + i, one, motion, scene)


def rendered(asked: Sequence[Asked]) -> Frames:
    """Renderings of what is asked for, `(N, F, H, W, 3)`."""
    return np.stack([one.rendered().frames for one in asked])


def to_pixels(frames: Frames) -> Tensor:
    """Frames `(..., H, W, 3)` uint8 to `(..., 3, H, W)` in [0, 1]."""
    return torch.from_numpy(frames).movedim(-1, -3).float() / 255


def path_of(motion: str, frames: int = pictures.FRAMES) -> Tensor:
    """Where an individual in that motion should be, `(F, 2)`: a prompt says nothing of the pose."""
    path = motions.path_of(motion, frames)
    return torch.stack([path.x, path.y], dim=1)

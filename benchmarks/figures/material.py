"""What is asked of the base and what it is taught: drawn from the world, on seeds of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.training import generator_at
from engine.world import clips, material, motions, scenes, sprites

Frames = npt.NDArray[np.uint8]
SEED = 7310
"""Base of every draw here; pretraining draws from streams of other names, so nothing of it was seen."""
SUBJECT_IMAGES, MOTION_CLIPS = 4, 3


@dataclass(frozen=True)
class Request:
    """A clip to be generated, and the clip of the world that it should look like."""

    prompt: str
    seed: int
    spec: clips.ClipSpec


def known_requests(count: int) -> list[Request]:
    """Prompts of the known world, words and motions in turn so that each is asked for equally often."""
    generator = generator_at(SEED, 0, "prompts")
    words, moving = sprites.words("known"), tuple(motions.KNOWN)
    places = tuple(scenes.PHRASES)
    requests = []
    for i in range(count):
        place = places[int(torch.randint(len(places), (), generator=generator))]
        spec = clips.ClipSpec(words[i % len(words)], place, moving[(i + i // len(words)) % len(moving)], scene_seed=i)
        requests.append(Request(clips.caption(spec.word, spec.motion, spec.scene), SEED + i, spec))
    return requests


def subject_specs(word: str, count: int) -> list[clips.ClipSpec]:
    """What is asked of a subject: every known motion in turn, in scenes drawn at random."""
    generator = generator_at(SEED, sprites.index_of(word), "subject prompts")
    names = tuple(motions.KNOWN)
    return [clips.draw_spec(generator, words=[word], motion_names=[names[i % len(names)]]) for i in range(count)]


def motion_specs(motion: str, words: tuple[str, ...], seeds: int) -> list[clips.ClipSpec]:
    """What is asked of a motion: each word, `seeds` times, in scenes drawn at random."""
    generator = generator_at(SEED, list(motions.ALL).index(motion), f"motion prompts, {' '.join(words)}")
    return [clips.draw_spec(generator, words=[word], motion_names=[motion]) for word in words for _ in range(seeds)]


def as_asked(specs: list[clips.ClipSpec], *, named: str | None = None, stream: int = 0) -> list[Request]:
    """The requests for `specs`, with each one's word, `*`, or another word in its place (`named`).

    Equal specs have equal seeds whatever they are called, so that results can be compared in pairs.
    """
    return [
        Request(clips.caption(named or spec.word, spec.motion, spec.scene), SEED + 1000 * stream + i, spec)
        for i, spec in enumerate(specs)
    ]


def split_words(objects: int, motion_names: tuple[str, ...]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """For each motion the words of its training clips, and the other words with which it is asked for."""
    words = sprites.words("known")
    order = torch.randperm(len(words), generator=generator_at(SEED, 0, "words")).tolist()
    taught = {
        name: tuple(words[k] for k in order[MOTION_CLIPS * i : MOTION_CLIPS * (i + 1)])
        for i, name in enumerate(motion_names)
    }
    first = MOTION_CLIPS * len(motion_names)
    return taught, tuple(words[k] for k in order[first : first + objects])


def render(specs: list[clips.ClipSpec]) -> Frames:
    """Renderings `(N, F, H, W, 3)` uint8."""
    return to_frames(clips.render(specs)[0])


def to_frames(pixels: Tensor) -> Frames:
    """Clips `(N, F, 3, H, W)` in [0, 1] to `(N, F, H, W, 3)` uint8."""
    return material.to_uint8(pixels)


def to_pixels(frames: Frames) -> Tensor:
    """Clips `(N, F, H, W, 3)` uint8 to `(N, F, 3, H, W)` in [0, 1]."""
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255


def reference_specs(word: str) -> list[clips.ClipSpec]:
    """The photographs of a subject: standing still, each in another scene."""
    return material.subject_specs(word, SUBJECT_IMAGES, SEED)


def teaching_specs(motion: str, words: tuple[str, ...]) -> list[clips.ClipSpec]:
    """The training clips of a motion, one for each word."""
    return material.motion_specs(motion, words, SEED)


def track_of(spec: clips.ClipSpec) -> Tensor:
    """Where the sprite of a clip should be, `(F, 2)`."""
    path = spec.path()
    return torch.stack([path.x, path.y], dim=1)


def windows_of(specs: list[clips.ClipSpec], frames: int = clips.FRAMES) -> Tensor:
    """Discs that lie inside the sprites of `specs`, `(N, F, 1, H, W)`: the sprite's own pixels, found by no model."""
    axis = (torch.arange(clips.SIZE) + 0.5) / clips.SIZE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    discs = []
    for spec in specs:
        path = spec.path(frames)
        cx, cy, size = (v.view(-1, 1, 1) for v in (path.x, path.y, path.size))
        discs.append((((x - cx) ** 2 + (y - cy) ** 2).sqrt() < 0.32 * size).float()[:, None])
    return torch.stack(discs)

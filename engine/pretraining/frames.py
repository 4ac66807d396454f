"""Single frames to learn to see from: sprites of the world or any emoji, at any pose, over any scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.pretraining.emoji import Drawings
from engine.world import clips, scenes, sprites


@dataclass(frozen=True)
class Frames:
    """A batch: pixels `(B, 3, H, W)` in [-1, 1], sprite masks `(B, 1, H, W)`, and a caption each."""

    pixels: Tensor
    masks: Tensor
    captions: list[str]


@dataclass(frozen=True)
class Chosen:
    """What a batch of frames shows: a word and a texture `(4, h, w)` each."""

    words: list[str]
    textures: list[Tensor]


def draw_frames(generator: torch.Generator, count: int, drawings: Drawings, any_emoji_share: float) -> Frames:
    """Draw `count` frames; the first `any_emoji_share` of them show any drawing, the others the world's."""
    return place(generator, choose(generator, count, drawings, any_emoji_share))


def choose(generator: torch.Generator, count: int, drawings: Drawings, any_emoji_share: float) -> Chosen:
    """Choose what to show; the first `any_emoji_share` are any drawings, the others the world's."""
    any_emoji = round(count * any_emoji_share)
    known = sprites.words("known")
    words, textures = [], []
    for i in range(count):
        if i < any_emoji:
            k = int(torch.randint(len(drawings.names), (), generator=generator))
            words.append(drawings.names[k])
            textures.append(drawings.textures[k].float())
        else:
            words.append(known[int(torch.randint(len(known), (), generator=generator))])
            textures.append(sprites.textures()[sprites.index_of(words[-1])])
    return Chosen(words, textures)


def place(generator: torch.Generator, chosen: Chosen) -> Frames:
    """Draw each at a random pose over a random scene."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    specs = []
    for word in chosen.words:
        upright = between(0, 1) < 0.7
        specs.append(
            clips.ClipSpec(
                word=word,
                scene=list(scenes.PHRASES)[int(torch.randint(len(scenes.PHRASES), (), generator=generator))],
                motion="still",
                x=between(0.24, 0.76),
                y=between(0.24, 0.76),
                size=between(0.4, 0.78),
                angle=between(-0.1, 0.1) if upright else between(-math.pi, math.pi),
                scene_seed=int(torch.randint(2**31, (), generator=generator)),
            )
        )
    pixels, masks = clips.render_textures(torch.stack(chosen.textures), specs, frames=1)
    captions = [clips.caption(s.word, None, s.scene if between(0, 1) < 0.8 else None) for s in specs]
    return Frames(pixels=pixels[:, 0] * 2 - 1, masks=masks[:, 0], captions=captions)

"""The sprites of the world: drawings with an alpha channel, from one packed picture.

The drawings are Noto Emoji (Apache License 2.0, see `assets/NOTICE`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

ASSETS = Path(__file__).parent / "assets"
SPRITE_SIZE = 48
"""Width and height of a packed sprite in pixels; about its size on a 64 x 64 frame, so that it needs no mipmaps."""


@dataclass(frozen=True)
class Sprite:
    """One drawing. `class_word` is the word of `known` objects that stands for it before it is learnt."""

    word: str
    split: str
    class_word: str
    emoji: str


@cache
def catalogue() -> dict[str, Sprite]:
    """Every sprite by its word. `split` is `known`, `held-out` (for figures) or `tuning` (for settings)."""
    rows = json.loads((ASSETS / "sprites.json").read_text(encoding="utf-8"))
    return {row["word"]: Sprite(**row) for row in rows}


def words(split: str) -> tuple[str, ...]:
    """The words of one split, in the catalogue's order."""
    return tuple(s.word for s in catalogue().values() if s.split == split)


@cache
def textures() -> Tensor:
    """All sprites in the catalogue's order, premultiplied RGBA in [0, 1], `(N, 4, 48, 48)`."""
    atlas = np.asarray(Image.open(ASSETS / "sprites.png").convert("RGBA"))
    return to_textures(atlas, len(catalogue()))


def to_textures(atlas: np.ndarray, count: int) -> Tensor:
    """Cut a row-major atlas `(H, W, 4)` of 8-bit sprites into premultiplied textures `(count, 4, 48, 48)`."""
    side = SPRITE_SIZE
    columns = atlas.shape[1] // side
    tiles = [
        atlas[side * (i // columns) : side * (i // columns + 1), side * (i % columns) : side * (i % columns + 1)]
        for i in range(count)
    ]
    rgba = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)


def index_of(word: str) -> int:
    """The position of a sprite in `textures()`. Raises `ValueError` for an unknown word."""
    return list(catalogue()).index(word)

"""What readers learn from: renderings, roughened so that generated clips, softer, read the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.world import backgrounds, motions, pictures
from engine.world.individuals import CLASSES as KNOWN
from engine.world.individuals import FORMS, individual

CLASSES: tuple[str, ...] = tuple(FORMS)
SCENES: tuple[str, ...] = tuple(backgrounds.PHRASES)
MOTIONS: tuple[str, ...] = tuple(motions.KNOWN)
WARP = 0.025
"""How far roughening moves parts of a picture to and fro, in frame widths."""
_PATHS_SHARE = 0.4
"""Of a pool's clips, how many go any way at all, so that places far from the known motions' are learnt too."""


@dataclass(frozen=True)
class Rendered:
    """N clips and what they show: `pixels` `(N, F, 3, H, W)` and `areas` `(N, F, 1, H, W)` in bytes, `centres`
    `(N, F, 2)` in frame widths; `classes`, `scenes`, `motions` `(N,)` are places in the lists above, -1 a motion
    without a name."""

    pixels: Tensor
    areas: Tensor
    centres: Tensor
    classes: Tensor
    scenes: Tensor
    motions: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def render(count: int, seed: int, split: str, *, nameless: float = _PATHS_SHARE) -> Rendered:
    """Clips of individuals of a split: every class and scene in turn, the known motions but for a share `nameless`."""
    generator = np.random.default_rng([seed, 11])
    size, frames = pictures.SIZE, pictures.FRAMES
    pixels = torch.zeros((count, frames, 3, size, size), dtype=torch.uint8)
    areas = torch.zeros((count, frames, 1, size, size), dtype=torch.uint8)
    centres = torch.zeros((count, frames, 2))
    words, scenes, named = [], [], []
    for i in range(count):
        word = CLASSES[i % len(CLASSES)]
        # Of a class that is held out whole nobody is in "train".
        one = individual(word, seed + i, split if split != "train" or word in KNOWN else "settings")
        motion = None if generator.random() < nameless else str(generator.choice(MOTIONS))
        clip = pictures.clip(one, motion, seed + i, scene=str(generator.choice(SCENES)))
        pixels[i] = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
        areas[i, :, 0] = torch.from_numpy((clip.alpha * 255).astype(np.uint8))
        centres[i] = torch.from_numpy(clip.centres)
        words.append(CLASSES.index(word))
        scenes.append(SCENES.index(clip.scene))
        named.append(-1 if motion is None else MOTIONS.index(motion))
    return Rendered(pixels, areas, centres, torch.tensor(words), torch.tensor(scenes), torch.tensor(named))


@dataclass(frozen=True)
class FrameViews:
    """Frames `(B, 3, H, W)` in [0, 1] and what is in them.

    `classes` and `scenes` `(B,)` are places in `CLASSES` and `SCENES`; `centres` `(B, 2)` and `areas`
    `(B, 1, H, W)` are where the individual is; `present` `(B,)` is 0 where there is none.
    """

    pixels: Tensor
    classes: Tensor
    scenes: Tensor
    centres: Tensor
    areas: Tensor
    present: Tensor


def draw_frames(pool: Rendered, generator: torch.Generator, count: int, *, empty_share: float = 0.0) -> FrameViews:
    """Frames of a pool, roughened, in place of the first `empty_share` of them empty scenes."""
    chosen = torch.randint(len(pool), (count,), generator=generator)
    at = torch.randint(pool.pixels.shape[1], (count,), generator=generator)
    pixels, scenes = pool.pixels[chosen, at].float() / 255, pool.scenes[chosen].clone()
    empty = round(count * empty_share)
    if empty:
        pixels[:empty], scenes[:empty] = empty_scenes(generator, empty)
    return FrameViews(
        pixels=roughen(pixels[:, None], generator)[:, 0],
        classes=pool.classes[chosen],
        scenes=scenes,
        centres=pool.centres[chosen, at],
        areas=pool.areas[chosen, at].float() / 255 * (torch.arange(count) >= empty).view(-1, 1, 1, 1),
        present=(torch.arange(count) >= empty).float(),
    )


def empty_scenes(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Pictures `(B, 3, H, W)` of scenes without anybody, and which ones."""
    which = torch.randint(len(SCENES), (count,), generator=generator)
    seeds = torch.randint(2**31, (count,), generator=generator).tolist()
    painted = [backgrounds.paint(SCENES[int(k)], seed, pictures.SIZE) for k, seed in zip(which, seeds, strict=True)]
    return torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2), which


def draw_clips(pool: Rendered, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Clips `(B, F, 3, H, W)` in [0, 1] of a pool's known motions, roughened, and which motions."""
    named = (pool.motions >= 0).nonzero()[:, 0]
    chosen = named[torch.randint(len(named), (count,), generator=generator)]
    return roughen(pool.pixels[chosen].float() / 255, generator), pool.motions[chosen]


def roughen(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Warp, blur, recolour and add noise, at random strength for each clip `(B, F, 3, H, W)`; half as often not at
    all."""
    b, f = pixels.shape[:2]

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, generator=generator)

    flat = _warped(pixels.flatten(0, 1), between(-1.0, 1.0, 1).clamp(min=0).expand(b, f).flatten(), generator)
    soft = F.avg_pool2d(F.pad(flat, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    softer = F.avg_pool2d(F.pad(soft, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    amount = (between(-1.0, 1.0, 1, 1, 1, 1).clamp(min=0) * 2).expand(b, f, 1, 1, 1).flatten(0, 1)
    near, far = amount.clamp(max=1), (amount - 1).clamp(min=0)
    blurred = (flat + near * (soft - flat) + far * (softer - soft)).unflatten(0, (b, f))
    strength = between(-1.0, 1.0, 1, 1, 1, 1).clamp(min=0)
    gain = 1 + strength * between(-0.15, 0.15, 1, 3, 1, 1)
    lift = strength * between(-0.06, 0.06, 1, 3, 1, 1)
    rough = between(-1.0, 1.0, 1, 1, 1, 1).clamp(min=0)
    grain = 0.05 * torch.randn(blurred.shape, generator=generator)
    # Generated frames waver from one to the next in broad patches, which must not pass for movement.
    wavering = F.interpolate(
        torch.randn((b * f, 3, 5, 5), generator=generator), size=pixels.shape[-2:], mode="bilinear"
    ).unflatten(0, (b, f))
    roughened: Tensor = blurred * gain + lift + rough * (grain + 0.04 * wavering)
    return roughened.clamp(0, 1)


def _warped(pixels: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Move parts of each frame `(B, 3, H, W)` by up to `WARP` x `strength` `(B,)`, each frame's otherwise: eyes and
    ears of a generated sprite wander about on it, which must not pass for its turning."""
    height, width = pixels.shape[-2:]
    coarse = 2 * torch.rand((len(pixels), 2, 6, 6), generator=generator) - 1
    shift = F.interpolate(coarse, size=(height, width), mode="bicubic").permute(0, 2, 3, 1)
    still = torch.eye(2, 3).expand(len(pixels), 2, 3)
    # The grid's unit is half a frame.
    grid = F.affine_grid(still, list(pixels.shape), align_corners=False) + 2 * WARP * strength.view(-1, 1, 1, 1) * shift
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

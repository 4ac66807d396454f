"""What instruments learn to read: renderings, roughened so that generated clips, softer, read the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.world import clips, motions, scenes, sprites

WORDS: tuple[str, ...] = tuple(sprites.catalogue())
"""Every object of the world, those held out from the base included: so a new subject can be told from its class."""
SCENES: tuple[str, ...] = tuple(scenes.PHRASES)
MOTIONS: tuple[str, ...] = tuple(motions.KNOWN)


@dataclass(frozen=True)
class FrameViews:
    """Frames `(B, 3, H, W)` in [0, 1] and what is in them.

    `objects` and `scenes` `(B,)` are places in `WORDS` and `SCENES`; `centres` `(B, 2)` and `areas`
    `(B, 1, H, W)` are where the sprite is; `present` `(B,)` is 0 where there is none.
    """

    pixels: Tensor
    objects: Tensor
    scenes: Tensor
    centres: Tensor
    areas: Tensor
    present: Tensor


WARP = 0.025
"""How far roughening moves parts of a picture to and fro, in frame widths."""


def draw_frames(generator: torch.Generator, count: int, *, empty_share: float, roughened: bool) -> FrameViews:
    """Draw frames with any sprite anywhere over any scene; the first `empty_share` of them show no sprite."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    specs = [
        clips.ClipSpec(
            word=WORDS[int(torch.randint(len(WORDS), (), generator=generator))],
            scene=SCENES[int(torch.randint(len(SCENES), (), generator=generator))],
            motion="still",
            x=between(0.18, 0.82),
            y=between(0.14, 0.86),
            size=between(0.4, 0.8),
            angle=between(-0.15, 0.15) if between(0, 1) < 0.7 else between(-math.pi, math.pi),
            scene_seed=int(torch.randint(2**31, (), generator=generator)),
        )
        for _ in range(count)
    ]
    present = (torch.arange(count) >= round(count * empty_share)).float()
    textures = torch.stack([sprites.textures()[WORDS.index(s.word)] for s in specs])
    pixels, areas = clips.render_textures(textures * present.view(-1, 1, 1, 1), specs, frames=1)
    if roughened:
        pixels = roughen(pixels, generator)
    return FrameViews(
        pixels=pixels[:, 0],
        objects=torch.tensor([WORDS.index(s.word) for s in specs]),
        scenes=torch.tensor([SCENES.index(s.scene) for s in specs]),
        centres=torch.tensor([[s.x, s.y] for s in specs]),
        areas=areas[:, 0],
        present=present,
    )


def draw_clips(generator: torch.Generator, count: int, *, roughened: bool) -> tuple[Tensor, list[clips.ClipSpec]]:
    """Draw clips of the known motions with any sprite: `(B, F, 3, H, W)` in [0, 1], and what they are."""
    specs = [clips.draw_spec(generator, words=WORDS) for _ in range(count)]
    pixels, _ = clips.render(specs)
    return (roughen(pixels, generator) if roughened else pixels), specs


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

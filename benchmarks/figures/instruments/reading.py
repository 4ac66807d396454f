"""Reading clips with the instruments, and how well they read clips whose content is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.figures.instruments.nets import FrameNet, FrameReading, MotionNet
from benchmarks.figures.instruments.training import STANDARD, InstrumentSettings, Told, load_nets
from benchmarks.figures.instruments.views import MOTIONS, SCENES, WORDS, draw_clips, draw_frames
from engine.errors import InputError
from engine.training import generator_at
from engine.world import clips

_LEAST_AREA = 0.02
"""The least part of a frame that counts as a sprite; the world's narrowest, at its smallest, covers 0.053."""
_CHECK_SEED = 977


@dataclass(frozen=True)
class Readings:
    """What the instruments found in N clips of F frames.

    `objects`, `scenes`, `motions` are words, one a clip; `track` `(N, F, 2)` are the sprite's centres in
    frame widths; `found` `(N, F)` says in which frames there is a sprite.
    """

    objects: list[str]
    scenes: list[str]
    motions: list[str]
    track: Tensor
    found: Tensor

    def tracked(self, index: int) -> Tensor | None:
        """The track `(F, 2)` of one clip, None where the sprite was lost in any frame."""
        return self.track[index] if bool(self.found[index].all()) else None


@dataclass(frozen=True)
class Accuracy:
    """How often the instruments are right, and the localiser's mean error in frame widths."""

    object: float
    scene: float
    motion: float
    found: float
    centre_error: float
    displacement_error: float

    def values(self) -> dict[str, float]:
        return asdict(self)


class Instruments:
    """The trained nets behind one face."""

    def __init__(self, frame_net: FrameNet, motion_net: MotionNet) -> None:
        self.frame_net, self.motion_net = frame_net, motion_net

    @classmethod
    def load(
        cls, settings: InstrumentSettings = STANDARD, *, folder: Path | None = None, told: Told | None = None
    ) -> Instruments:
        """The instruments from the cache, trained first where they are not there; see `load_nets`."""
        return cls(*load_nets(settings, folder=folder, told=told))

    @torch.no_grad()
    def read(self, pixels: Tensor, chunk: int = 16) -> Readings:
        """Read clips `(N, 8, 3, 64, 64)` in [0, 1]. Raises `InputError` for another shape.

        Object and scene of a clip are those likeliest over all its frames together.
        """
        if pixels.shape[1:] != (clips.FRAMES, 3, clips.SIZE, clips.SIZE):
            raise InputError(
                f"the instruments read clips of {clips.FRAMES} frames of {clips.SIZE} x {clips.SIZE} pixels, not "
                f"{tuple(pixels.shape[1:])}: generate with the embedded base's own size and frames"
            )
        parts: dict[str, list[Tensor]] = {name: [] for name in ("objects", "scenes", "motions", "track", "found")}
        for part in pixels.split(chunk):
            reading = self.frame_net(part.flatten(0, 1))
            for name, logits in (("objects", reading.objects), ("scenes", reading.scenes)):
                chances = logits.log_softmax(dim=1).unflatten(0, part.shape[:2])
                parts[name].append(chances.mean(dim=1).argmax(dim=1))
            parts["motions"].append(self.motion_net(part).argmax(dim=1))
            parts["track"].append(reading.centres.unflatten(0, part.shape[:2]))
            parts["found"].append(_is_there(reading).unflatten(0, part.shape[:2]))
        whole = {name: torch.cat(tensors) for name, tensors in parts.items()}
        return Readings(
            [WORDS[i] for i in whole["objects"]],
            [SCENES[i] for i in whole["scenes"]],
            [MOTIONS[i] for i in whole["motions"]],
            whole["track"],
            whole["found"],
        )

    @torch.no_grad()
    def read_frames(self, pixels: Tensor, chunk: int = 128) -> list[str]:
        """The object of each single frame `(N, 3, 64, 64)` in [0, 1]."""
        found = torch.cat([self.frame_net(part).objects.argmax(dim=1) for part in pixels.split(chunk)])
        return [WORDS[i] for i in found]

    def check(self, count: int = 1000, *, roughened: bool = False) -> Accuracy:
        """Measure on rendered clips that training never saw; `found` also counts frames without a sprite."""
        right = torch.zeros(4)
        centre = displacement = 0.0
        for start in range(0, count, 50):
            size = min(50, count - start)
            generator = generator_at(_CHECK_SEED, start, "check")
            pixels, specs = draw_clips(generator, size, roughened=roughened)
            readings = self.read(pixels)
            right[0] += sum(a == s.word for a, s in zip(readings.objects, specs, strict=True))
            right[1] += sum(a == s.scene for a, s in zip(readings.scenes, specs, strict=True))
            right[2] += sum(a == s.motion for a, s in zip(readings.motions, specs, strict=True))
            empty = draw_frames(generator, size, empty_share=1.0, roughened=roughened).pixels
            unseen = ~_is_there(self.frame_net(empty))
            right[3] += 0.5 * (readings.found.float().mean(dim=1).sum() + unseen.float().sum())
            paths = [s.path() for s in specs]
            truth = torch.stack([torch.stack([p.x, p.y], dim=1) for p in paths])
            centre += float((readings.track - truth).norm(dim=-1).mean(dim=1).sum())
            displacement += float((readings.track - truth).diff(dim=1).norm(dim=-1).mean(dim=1).sum())
        objects, scenes, motions, found = (right / count).tolist()
        return Accuracy(objects, scenes, motions, found, centre / count, displacement / count)


def _is_there(reading: FrameReading) -> Tensor:
    """Whether there is a sprite in each frame, `(B,)`."""
    return reading.areas.sigmoid().mean(dim=(1, 2)) > _LEAST_AREA

"""Reading clips with the readers, and how well they read clips whose content is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.figures.readers.nets import FrameNet, FrameReading, MotionNet
from benchmarks.figures.readers.training import STANDARD, ReaderSettings, Told, load_nets
from benchmarks.figures.readers.views import CLASSES, MOTIONS, SCENES, empty_scenes, render
from engine.errors import InputError
from engine.training import generator_at
from engine.world import pictures

_LEAST_AREA = 0.02
"""The least part of a frame that counts as an individual."""
_CHECK_SEED = 977


@dataclass(frozen=True)
class Readings:
    """What the readers found in N clips of F frames.

    `classes`, `scenes`, `motions` are words, one a clip; `track` `(N, F, 2)` are the individual's centres in
    frame widths; `found` `(N, F)` says in which frames there is one.
    """

    classes: list[str]
    scenes: list[str]
    motions: list[str]
    track: Tensor
    found: Tensor

    def tracked(self, index: int) -> Tensor | None:
        """The track `(F, 2)` of one clip, None where the individual was lost in any frame."""
        return self.track[index] if bool(self.found[index].all()) else None


@dataclass(frozen=True)
class Accuracy:
    """How often the readers are right, and the localiser's mean error in frame widths."""

    class_word: float
    scene: float
    motion: float
    found: float
    centre_error: float
    displacement_error: float

    def values(self) -> dict[str, float]:
        return asdict(self)


class Readers:
    """The trained nets behind one face."""

    def __init__(self, frame_net: FrameNet, motion_net: MotionNet) -> None:
        self.frame_net, self.motion_net = frame_net, motion_net

    @classmethod
    def load(
        cls, settings: ReaderSettings = STANDARD, *, folder: Path | None = None, told: Told | None = None
    ) -> Readers:
        """The readers from the cache, trained first where they are not there; see `load_nets`."""
        return cls(*load_nets(settings, folder=folder, told=told))

    @torch.no_grad()
    def read(self, pixels: Tensor, chunk: int = 16) -> Readings:
        """Read clips `(N, 8, 3, 64, 64)` in [0, 1]. Raises `InputError` for another shape.

        Class and scene of a clip are those likeliest over all its frames together.
        """
        if pixels.shape[1:] != (pictures.FRAMES, 3, pictures.SIZE, pictures.SIZE):
            raise InputError(
                f"the readers read clips of {pictures.FRAMES} frames of {pictures.SIZE} x {pictures.SIZE} pixels, not "
                f"{tuple(pixels.shape[1:])}: generate with the embedded base's own size and frames"
            )
        parts: dict[str, list[Tensor]] = {name: [] for name in ("classes", "scenes", "motions", "track", "found")}
        for part in pixels.split(chunk):
            reading = self.frame_net(part.flatten(0, 1))
            for name, logits in (("classes", reading.classes), ("scenes", reading.scenes)):
                chances = logits.log_softmax(dim=1).unflatten(0, part.shape[:2])
                parts[name].append(chances.mean(dim=1).argmax(dim=1))
            parts["motions"].append(self.motion_net(part).argmax(dim=1))
            parts["track"].append(reading.centres.unflatten(0, part.shape[:2]))
            parts["found"].append(_is_there(reading).unflatten(0, part.shape[:2]))
        whole = {name: torch.cat(tensors) for name, tensors in parts.items()}
        return Readings(
            [CLASSES[i] for i in whole["classes"]],
            [SCENES[i] for i in whole["scenes"]],
            [MOTIONS[i] for i in whole["motions"]],
            whole["track"],
            whole["found"],
        )

    @torch.no_grad()
    def check(self, count: int = 500) -> Accuracy:
        """Measure on renderings of individuals that training never saw; `found` also counts empty scenes."""
        pool = render(count, _CHECK_SEED, "figures", nameless=0.0)
        readings = self.read(pool.pixels.float() / 255)
        empty, _ = empty_scenes(generator_at(_CHECK_SEED, 0, "empty"), count)
        unseen = ~_is_there(self.frame_net(empty))
        error = readings.track - pool.centres
        return Accuracy(
            class_word=_share(readings.classes, CLASSES, pool.classes),
            scene=_share(readings.scenes, SCENES, pool.scenes),
            motion=_share(readings.motions, MOTIONS, pool.motions),
            found=float(readings.found.float().mean() + unseen.float().mean()) / 2,
            centre_error=float(error.norm(dim=-1).mean()),
            displacement_error=float(error.diff(dim=1).norm(dim=-1).mean()),
        )


def _share(read: list[str], names: tuple[str, ...], truth: Tensor) -> float:
    return sum(one == names[int(k)] for one, k in zip(read, truth, strict=True)) / len(read)


def _is_there(reading: FrameReading) -> Tensor:
    """Whether there is an individual in each frame, `(B,)`."""
    return reading.areas.sigmoid().mean(dim=(1, 2)) > _LEAST_AREA

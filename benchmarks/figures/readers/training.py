"""Training the readers, once: their weights are kept in the user's cache, by a hash of their settings."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from platformdirs import user_cache_path
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.figures.readers.nets import FrameNet, FrameReading, MotionNet
from benchmarks.figures.readers.views import (
    CLASSES,
    MOTIONS,
    SCENES,
    WARP,
    FrameViews,
    Rendered,
    draw_clips,
    draw_frames,
    render,
)
from engine.files import written_aside
from engine.training import LoopConfig, Progress, Snapshots, generator_at, settings_of, train
from engine.world import backgrounds, pictures
from engine.world.drawings import animals, faces, parts, things

Told = Callable[[str, Progress], None]


@dataclass(frozen=True)
class ReaderSettings:
    """What the readers are and how they are trained; by default some minutes on two cores."""

    frame_loop: LoopConfig
    motion_loop: LoopConfig
    frame_widths: tuple[int, int, int] = (24, 48, 80)
    motion_widths: tuple[int, int, int] = (32, 48, 64)
    frame_batch: int = 48
    motion_batch: int = 24
    empty_share: float = 0.1
    pool: int = 4000
    """How many clips are rendered, of which batches are drawn again and again."""


def _loop(steps: int, seed: int) -> LoopConfig:
    return LoopConfig(
        steps=steps, learning_rate=6e-3, seed=seed, optimizer="muon", betas=(0.9, 0.99), weight_decay=0.01,
        max_grad_norm=1.0, warmup_steps=20, decay_steps=3 * steps // 4,
    )  # fmt: skip


STANDARD = ReaderSettings(frame_loop=_loop(1500, 601), motion_loop=_loop(500, 602))


def load_nets(
    settings: ReaderSettings = STANDARD, *, folder: Path | None = None, told: Told | None = None
) -> tuple[FrameNet, MotionNet]:
    """The trained nets, from `folder` (default: the user's cache) where they were trained before.

    Training that was stopped goes on where it was. `told(net's name, progress)` is called after each step.
    """
    place = (folder or user_cache_path("dv") / "readers") / _key(settings)

    @cache
    def pool() -> Rendered:
        return render(settings.pool, settings.frame_loop.seed, "train")

    frame_net = _trained("frame", settings, settings.frame_loop, place, pool, told)
    motion_net = _trained("motion", settings, settings.motion_loop, place, pool, told)
    assert isinstance(frame_net, FrameNet) and isinstance(motion_net, MotionNet)
    return frame_net, motion_net


def frame_loss(reading: FrameReading, views: FrameViews) -> Tensor:
    """Cross-entropy of class and scene, distance of the centre, cross-entropy of the area.

    Frames without anybody teach scene and area alone.
    """
    present = views.present
    shown = present.sum().clamp(min=1)
    classes = (F.cross_entropy(reading.classes, views.classes, reduction="none") * present).sum() / shown
    scenes = F.cross_entropy(reading.scenes, views.scenes)
    distance = (reading.centres - views.centres).abs().sum(dim=1)
    height, width = reading.areas.shape[-2:]
    covered = F.adaptive_avg_pool2d(views.areas, (height, width))[:, 0]
    areas = F.binary_cross_entropy_with_logits(reading.areas, covered)
    return classes + 0.5 * scenes + 5 * (distance * present).sum() / shown + areas


def _trained(
    name: str,
    settings: ReaderSettings,
    loop: LoopConfig,
    place: Path,
    pool: Callable[[], Rendered],
    told: Told | None,
) -> FrameNet | MotionNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(loop.seed)
        net = _build(name, settings)
    finished = place / f"{name}.safetensors"
    if finished.exists():
        net.load_state_dict(load_file(finished))
        return _frozen(net)

    def loss_at(step: int, _micro: int) -> Tensor:
        generator = generator_at(loop.seed, step)
        if isinstance(net, FrameNet):
            views = draw_frames(pool(), generator, settings.frame_batch, empty_share=settings.empty_share)
            return frame_loss(net(views.pixels), views)
        pixels, motions = draw_clips(pool(), generator, settings.motion_batch)
        return F.cross_entropy(net(pixels), motions)

    snapshots = Snapshots(place / f"{name}.snapshot", settings_of(settings), every=100)
    train(
        dict(net.named_parameters()), loss_at, loop, snapshots=snapshots,
        after_step=None if told is None else lambda progress: told(name, progress),
    )  # fmt: skip
    with written_aside(finished) as partial:
        save_file(net.state_dict(), partial)
    snapshots.path.unlink(missing_ok=True)
    return _frozen(net)


def _build(name: str, settings: ReaderSettings) -> FrameNet | MotionNet:
    if name == "frame":
        return FrameNet(settings.frame_widths, len(CLASSES), len(SCENES))
    return MotionNet(settings.motion_widths, pictures.FRAMES, len(MOTIONS))


def _frozen(net: FrameNet | MotionNet) -> FrameNet | MotionNet:
    frozen: nn.Module = net.eval().requires_grad_(False)
    assert isinstance(frozen, FrameNet | MotionNet)
    return frozen


def _key(settings: ReaderSettings) -> str:
    """A name for weights of these settings, on these drawings."""
    described = {
        "settings": asdict(settings),
        "classes": CLASSES,
        "scenes": SCENES,
        "motions": MOTIONS,
        "warp": WARP,
        "drawings": [inspect.getsource(m) for m in (animals, faces, parts, things, backgrounds, pictures)],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]

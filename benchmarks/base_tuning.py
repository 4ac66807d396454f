"""Does tuning a base teach it? A new scene's word, taught to the embedded base by clips, measured by a classifier.

    python -m benchmarks.base_tuning --out build/base-tuning

Draws `--clips` clips of the world's individuals, most of them before a volcano, a scene that the base has no word for,
tunes the base on them as `dv base tune` does, and reads videos that it makes before and after: how often is one of "a
dog at the volcano" classified so, and how often are the old scenes still theirs? The classifier is trained here, on
renderings of seeds that no clip has. The shares, with their intervals, are printed as a table in Markdown, and written
as JSON with both bases' fingerprints. What takes long is kept in `--work`, and goes on where it was. The defaults take
about 15 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.figures.asked import to_pixels
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.composing import Shot, compose_batch
from engine.files import written_aside
from engine.media.sheets import contact_sheet, write_sheet
from engine.media.video import write_video
from engine.methods.dreamvideo import ComposeConfig
from engine.settings import resolve
from engine.training import LoopConfig, Progress, train
from engine.tuning.planning import plan_tuning
from engine.tuning.training import load_for_tuning, tune
from engine.world import backgrounds, motions, pictures
from engine.world.drawings.parts import Pose
from engine.world.individuals import CLASSES, individual
from engine.world.shapes import Array, Canvas, ellipse, polygon
from engine.world.wording import sentence

SCENE, PHRASE = "volcano", "at the volcano"
SCENES = (*backgrounds.PHRASES, SCENE)
_BATCH, _FILMS = 8, 8
"""Videos that are made at once, and films that the classifier sees a step."""
_FPS = 8.0
_CLASSIFIER_SEEDS, _ASKED_SEEDS = 10_000_000, 20_000_000
"""Where the seeds of the classifier's renderings and of what is asked for begin; those of the clips begin at 0."""


@dataclass(frozen=True)
class Scale:
    """How much is drawn, trained and measured."""

    clips: int = 500
    old_share: float = 0.3
    """Share of the clips that are of old scenes, so that these aren't forgotten."""
    steps: int = 300
    learning_rate: float = 3e-4
    batch_size: int = 4
    ema_decay: float = 0.98
    classifier_steps: int = 300
    asked: int = 30
    """Videos of the new scene, and of old ones, before and after each."""
    denoising_steps: int | None = None


TINY = Scale(clips=6, steps=2, batch_size=2, classifier_steps=2, asked=2, denoising_steps=2)
"""To see that it runs."""


def paint(scene: str, seed: int, size: int = pictures.SIZE) -> Array:
    """A variation of an old scene, or of the new one: a cone under a red sky, lava down its side; `(size, size, 3)`."""
    if scene != SCENE:
        return backgrounds.paint(scene, seed, size)
    draw = np.random.default_rng([seed, len(backgrounds.PHRASES)])
    canvas = Canvas(size)
    down = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    above, below = (np.asarray(colour, np.float32) for colour in ((0.35, 0.08, 0.12), (0.95, 0.45, 0.15)))
    canvas.pixels[..., :3] = above + (below - above) * down
    canvas.pixels[..., 3] = 1
    peak, top, foot = draw.uniform(-0.5, 0.5), draw.uniform(-0.6, -0.3), draw.uniform(0.35, 0.6)
    wide = draw.uniform(0.8, 1.1)
    cone = [(peak - wide, foot), (peak - 0.16, top), (peak + 0.16, top), (peak + wide, foot)]
    canvas.paint(polygon(cone), (0.22, 0.17, 0.18))
    canvas.paint(ellipse(peak, top, 0.17, 0.05), (1.0, 0.75, 0.2))
    for side in (-1, 1):
        end = peak + side * draw.uniform(0.15, 0.5)
        flow = [(peak - 0.05, top), (peak + 0.05, top), (end + 0.09, foot), (end - 0.09, foot)]
        canvas.paint(polygon(flow), (1.0, 0.4, 0.08))
    canvas.paint(polygon([(-1.1, foot), (1.1, foot), (1.1, 1.1), (-1.1, 1.1)]), (0.13, 0.1, 0.11))
    painted: Array = canvas.pixels[..., :3]
    return painted


def film(word: str, scene: str, motion: str, seed: int) -> tuple[pictures.Pixels, str]:
    """Frames `(F, H, W, 3)` of an individual that moves before a scene, and their caption."""
    draw = np.random.default_rng([seed, 3])
    x, y = (float(v) for v in 0.5 + draw.uniform(-0.06, 0.06, 2))
    path = motions.path_of(motion, pictures.FRAMES, x=x, y=y, size=pictures.STILL_SIZE)
    behind = torch.from_numpy(paint(scene, int(draw.integers(2**31)))).permute(2, 0, 1)
    sprites = pictures.place(
        pictures.texture(individual(word, seed, "train"), pictures.SIZE, Pose()), path, pictures.SIZE
    )
    pixels = (sprites[:, :3] + behind * (1 - sprites[:, 3:])).clamp(0, 1)
    frames: pictures.Pixels = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return frames, prompt_of(word, scene, motion)


def prompt_of(word: str, scene: str, motion: str) -> str:
    """A caption such as "a dog moving right at the volcano"."""
    return sentence(word, motions.KNOWN[motion].phrase, PHRASE if scene == SCENE else backgrounds.PHRASES[scene])


def write_clips(folder: Path, scale: Scale) -> None:
    """Write the data set: clips with captions beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    old = list(backgrounds.PHRASES)
    for number in range(scale.clips):
        is_old = number % 10 < round(10 * scale.old_share)
        word, motion = CLASSES[number % len(CLASSES)], list(motions.KNOWN)[number % len(motions.KNOWN)]
        frames, caption = film(word, old[number % len(old)] if is_old else SCENE, motion, number)
        write_video(frames, folder / f"{number:04}.mp4", _FPS, {})
        (folder / f"{number:04}.txt").write_text(caption, encoding="utf-8")


class SceneNet(nn.Module):
    """Frames `(B, 3, 64, 64)` in [0, 1] to logits of `SCENES`, of which the last is the new one."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 64)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, len(SCENES)))

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.net(frames * 2 - 1)
        return logits


def classifier(file: Path, scale: Scale) -> SceneNet:
    """The net that tells scenes apart, trained on renderings of its own unless it was before."""
    torch.manual_seed(0)
    net = SceneNet()
    if file.exists():
        net.load_state_dict(load_file(file))
        return net.eval()

    def loss_at(step: int, _micro: int) -> Tensor:
        frames, scenes = renderings(_CLASSIFIER_SEEDS + _FILMS * step, _FILMS)
        return F.cross_entropy(net(frames), scenes)

    rate = LoopConfig(scale.classifier_steps, 2e-3, decay_steps=scale.classifier_steps // 2)
    train(dict(net.named_parameters()), loss_at, rate, after_step=_told("classifier"))
    with written_aside(file) as partial:
        save_file(net.state_dict(), partial)
    return net.eval()


def renderings(first: int, count: int) -> tuple[Tensor, Tensor]:
    """The frames of `count` films, `(count * F, 3, H, W)`, and the numbers of their scenes."""
    frames: list[pictures.Pixels] = []
    scenes: list[int] = []
    for seed in range(first, first + count):
        draw = np.random.default_rng([seed, 4])
        scene, word = int(draw.integers(len(SCENES))), CLASSES[int(draw.integers(len(CLASSES)))]
        motion = list(motions.KNOWN)[int(draw.integers(len(motions.KNOWN)))]
        made, _ = film(word, SCENES[scene], motion, seed)
        frames.append(made)
        scenes += [scene] * len(made)
    return to_pixels(np.concatenate(frames)), torch.tensor(scenes)


@torch.no_grad()
def read(net: SceneNet, videos: Sequence[pictures.Pixels]) -> list[str]:
    """The scene of each video: the likeliest over its frames together."""
    return [SCENES[int(net(to_pixels(video)).log_softmax(dim=1).sum(dim=0).argmax())] for video in videos]


def asked(scale: Scale, scenes: Sequence[str]) -> list[tuple[str, Shot]]:
    """What is asked for: scenes, classes and motions in turn."""
    moving = list(motions.KNOWN)
    return [
        (
            scenes[i % len(scenes)],
            Shot(
                prompt_of(CLASSES[i % len(CLASSES)], scenes[i % len(scenes)], moving[i % len(moving)]),
                _ASKED_SEEDS + i,
            ),
        )
        for i in range(scale.asked)
    ]


def measured(base: Base, net: SceneNet, scale: Scale, sheet: Path) -> dict[str, int]:
    """How many videos of a base show the scene that they were asked for, the new one and the old ones."""
    config = resolve(ComposeConfig(), base.info.recommended.get("compose", {}), {"steps": scale.denoising_steps}).config
    right: dict[str, int] = {}
    shown: list[pictures.Pixels] = []
    for name, scenes in (("new scene", (SCENE,)), ("old scenes", tuple(backgrounds.PHRASES))):
        wanted = asked(scale, scenes)
        videos: list[pictures.Pixels] = []
        for start in range(0, len(wanted), _BATCH):
            shots = [shot for _, shot in wanted[start : start + _BATCH]]
            videos += [made.frames for made in compose_batch(base, shots, config=config)]
            print(f"{base.name}: {name}, {len(videos)} of {len(wanted)} videos", flush=True)
        found = read(net, videos)
        right[name] = sum(scene == told for (scene, _), told in zip(wanted, found, strict=True))
        shown += videos[:4]
    rows = [(f"{base.name} {number}", list(video)) for number, video in enumerate(shown)]
    write_sheet(contact_sheet(rows, columns=len(shown[0])), sheet, {})
    return right


def of_one_scale(work: Path, scale: Scale) -> None:
    """Note in the folder `work` what it holds; leave the program where that is something else."""
    note, text = work / "scale.json", json.dumps(asdict(scale), indent=1)
    if note.exists() and note.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{work} holds what was made at another scale: {note}. Give another --work or --out.")
    work.mkdir(parents=True, exist_ok=True)
    note.write_text(text, encoding="utf-8")


def kept(file: Path, measure: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What was measured before, else what is now."""
    if not file.exists():
        found = measure()
        with written_aside(file) as partial:
            partial.write_text(json.dumps(found), encoding="utf-8")
    measured_then: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return measured_then


def share_text(right: int, asked: int) -> str:
    """A share with its 95% interval (Wilson 1927, which also holds where all or none are right)."""
    z, share = 1.96, right / asked
    middle, width = share + z**2 / (2 * asked), z * sqrt(share * (1 - share) / asked + z**2 / (4 * asked**2))
    # Where none are right the lower end is 0, which rounding may miss.
    low, high = (max((middle + sign * width) / (1 + z**2 / asked), 0.0) for sign in (-1, 1))
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


def table(results: Mapping[str, Mapping[str, Any]], asked: int) -> str:
    """The shares before and after in Markdown, a row for what was asked for."""
    lines = ["| Asked for | Videos | " + " | ".join(results) + " |", "|---|" + "---|" * (1 + len(results))]
    for name in ("new scene", "old scenes"):
        shares = [share_text(result[name], asked) for result in results.values()]
        lines.append(f"| {name} | {asked} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


def tuned(parent: BaseLocation, data: Path, work: Path, scale: Scale, device: str | None) -> BaseLocation:
    """The base that was tuned on the clips, unless it was before."""
    made = work / "tuned"
    if not made.exists():
        options = {
            "steps": scale.steps, "learning_rate": scale.learning_rate, "batch_size": scale.batch_size,
            "ema_decay": scale.ema_decay,
        }  # fmt: skip
        plan = plan_tuning(data, info=inspect_base(parent), options=options)
        staged = work / "tuned.partial"
        tune(
            plan, load_for_tuning(parent, device=device, dtype="fp32"), staged, run=work / "run",
            on_progress=_told("tuning"),
        )  # fmt: skip
        staged.rename(made)
    return BaseLocation("tuned", str(made))


def main() -> None:
    """Draw, tune, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="another base of the same world (default: the embedded one)")
    parser.add_argument("--out", type=Path, default=Path("build") / "base-tuning", help="where the result is written")
    parser.add_argument("--work", type=Path, help="where what takes long is kept (default: beside the result)")
    parser.add_argument("--clips", type=int, default=Scale.clips, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=Scale.steps, help="of tuning (default: %(default)s)")
    parser.add_argument("--asked", type=int, default=Scale.asked, help="videos of each kind (default: %(default)s)")
    parser.add_argument("--device")
    parser.add_argument("--tiny", action="store_true", help="a few steps of everything, to see that it runs")
    options = parser.parse_args()
    scale = TINY if options.tiny else Scale(clips=options.clips, steps=options.steps, asked=options.asked)
    work: Path = options.work or options.out / "work"
    parent = BaseLocation("base", str(options.base)) if options.base else EMBEDDED
    of_one_scale(work, scale)
    data = work / "clips"
    if not data.exists():
        write_clips(work / "clips.partial", scale)
        (work / "clips.partial").rename(data)
    net = classifier(work / "classifier.safetensors", scale)
    with torch.no_grad():
        frames, scenes = renderings(2 * _CLASSIFIER_SEEDS - 400, 10 if options.tiny else 100)
        accuracy = float((net(frames).argmax(dim=1) == scenes).float().mean())
    results = {}
    for name, location in (("before", parent), ("after", tuned(parent, data, work, scale, options.device))):

        def measure(name: str = name, location: BaseLocation = location) -> dict[str, object]:
            base = load_base(location, device=options.device)
            return {"fingerprint": base.fingerprint, **measured(base, net, scale, options.out / f"{name}.png")}

        results[name] = kept(work / f"{name}.json", measure)
    with written_aside(options.out / "base_tuning.json") as partial:
        told = {"scale": asdict(scale), "classifier_accuracy": accuracy, **results}
        partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"The classifier is right about {accuracy:.1%} of frames of other renderings.\n")
    print(table(results, scale.asked))


def _told(name: str) -> Callable[[Progress], None]:
    def told(progress: Progress) -> None:
        if progress.step % 50 == 0 or progress.step == progress.steps:
            print(f"{name}: step {progress.step} of {progress.steps}, loss {progress.loss:.4f}", flush=True)

    return told


if __name__ == "__main__":
    main()

"""Write individuals of the world, their photographs, siblings and clips as files: `python -m engine.world --help`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engine.media.video import write_video
from engine.world import motions, pictures
from engine.world.drawing import draw
from engine.world.individuals import FORMS, SPLITS, Individual, individual, siblings
from engine.world.material import FPS


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    one = individual(given.class_word, given.seed, given.split)
    for path in write_clip(one, given) if given.command == "clip" else write_individual(one, given):
        print(path)


def write_individual(one: Individual, given: argparse.Namespace) -> list[Path]:
    """The individual, photographs with their captions, and siblings, one by one and on a sheet."""
    written = [_save(to_image(one, given.size), given.out / "individual.png")]
    for i in range(given.photos):
        taken = pictures.photograph(one, given.seed * 1000 + i)
        written.append(_save(Image.fromarray(taken.pixels), given.out / f"photo-{i + 1}.png"))
        written.append(_note(taken.caption, written[-1]))
    others = siblings(one, given.siblings) if given.siblings else []
    if others:
        images = [to_image(other, given.size) for other in others]
        folder = given.out / "siblings"
        folder.mkdir(exist_ok=True)
        for i, image in enumerate(images):
            _save(image, folder / f"{i + 1}.png")
        written += [folder, _save(sheet([to_image(one, given.size), *images]), given.out / "siblings.png")]
    return written


def write_clip(one: Individual, given: argparse.Namespace) -> list[Path]:
    """The clip as MP4 and as a strip of its frames, and its caption."""
    filmed = pictures.clip(one, given.motion, given.seed)
    name = given.motion or "nameless"
    video = given.out / f"{name}.mp4"
    write_video(filmed.frames, video, FPS, {"prompt": filmed.caption})
    strip = Image.fromarray(np.concatenate(list(filmed.frames), axis=1))
    return [video, _note(filmed.caption, video), _save(strip, given.out / f"{name}.png")]


def to_image(one: Individual, size: int) -> Image.Image:
    """The individual as an 8-bit picture with an alpha channel that isn't premultiplied."""
    drawn = draw(one, size)
    alpha = drawn[..., 3:]
    plain = np.concatenate([drawn[..., :3] / np.maximum(alpha, 1e-6), alpha], axis=-1)
    return Image.fromarray((plain.clip(0, 1) * 255).round().astype(np.uint8))


def sheet(images: Sequence[Image.Image], columns: int = 8) -> Image.Image:
    """Pictures of one size in rows, on pale blue."""
    side = images[0].width
    whole = Image.new("RGB", (columns * side, -(-len(images) // columns) * side), (170, 208, 232))
    for i, image in enumerate(images):
        whole.paste(image, (i % columns * side, i // columns * side), image)
    return whole


def _save(image: Image.Image, path: Path) -> Path:
    image.save(path, optimize=True)
    return path


def _note(text: str, path: Path) -> Path:
    note = path.with_suffix(".txt")
    note.write_text(text + "\n", encoding="utf-8")
    return note


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.world", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help="an individual, its photographs and its siblings, as PNG files")
    drawing.add_argument("--photos", type=_count, default=4, help="how many photographs (default: 4)")
    drawing.add_argument("--siblings", type=_count, default=0, help="how many others of its class (default: 0)")
    drawing.add_argument("--size", type=_count, default=128, help="width of the individuals' pictures (default: 128)")
    filming = commands.add_parser("clip", help="a clip of an individual, as MP4 and as a strip of frames")
    filming.add_argument("--motion", choices=list(motions.ALL), help="default: a random path without a name")
    for command in (drawing, filming):
        command.add_argument("--class", dest="class_word", choices=list(FORMS), default="dog", help="default: dog")
        command.add_argument("--seed", type=_count, default=0, help="any whole number (default: 0)")
        command.add_argument(
            "--split", choices=SPLITS, default="figures", help="default: figures, never in pretraining"
        )
        command.add_argument("out", type=Path, metavar="OUT", help="folder to write to, created if need be")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


if __name__ == "__main__":
    main()

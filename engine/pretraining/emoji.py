"""The drawings that pretraining reads: two emoji sets from the npm registry, fetched with `npm pack`.

The world's own sprites ship with the package; the thousands of other drawings only teach the autoencoder
and the image encoders what pictures look like, and stay in the pretraining's work folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.world import sprites

PACKAGES = {"google": "emoji-datasource-google@16.0.0", "twitter": "emoji-datasource-twitter@16.0.0"}
"""Noto Emoji (Apache License 2.0) and Twemoji (CC-BY 4.0)."""

KNOWN = {
    "dog": "1f436", "cat": "1f431", "bear": "1f43b", "panda": "1f43c", "pig": "1f437", "frog": "1f438",
    "monkey": "1f435", "lion": "1f981", "penguin": "1f427", "fish": "1f420", "car": "1f697", "bus": "1f68c",
    "truck": "1f69a", "rocket": "1f680", "ball": "26bd", "apple": "1f34e", "orange": "1f34a",
    "balloon": "1f388", "flower": "1f33b", "mushroom": "1f344", "tree": "1f332", "robot": "1f916",
    "ghost": "1f47b", "pizza": "1f355",
}  # fmt: skip
HELD_OUT = {
    "fox": ("1f98a", "dog"), "koala": ("1f428", "bear"), "pumpkin": ("1f383", "orange"),
    "taxi": ("1f695", "car"), "tiger": ("1f42f", "cat"), "owl": ("1f989", "penguin"),
}  # fmt: skip
TUNING = {"cow": ("1f42e", "pig"), "doughnut": ("1f369", "pizza"), "tulip": ("1f337", "flower")}


@dataclass(frozen=True)
class Drawings:
    """Every drawing that training may see: textures `(N, 4, 48, 48)` and a plain name for each."""

    textures: Tensor
    names: tuple[str, ...]


def fetch(folder: Path) -> None:
    """Download both sets into `folder` unless they are there. Raises `CalledProcessError` when npm fails."""
    for name, package in PACKAGES.items():
        target = folder / name
        if target.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        partial = folder / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(folder / packed) as archive:
            archive.extractall(partial, filter="data")
        partial.rename(target)
        (folder / packed).unlink()


def write_sprites(folder: Path) -> None:
    """Pack the world's own sprites from the fetched sets into the package's assets."""
    rows = [{"word": w, "split": "known", "class_word": w, "emoji": e} for w, e in KNOWN.items()]
    for split, table in (("held-out", HELD_OUT), ("tuning", TUNING)):
        rows += [{"word": w, "split": split, "class_word": c, "emoji": e} for w, (e, c) in table.items()]
    columns, side = 8, sprites.SPRITE_SIZE
    atlas = Image.new("RGBA", (columns * side, -(-len(rows) // columns) * side))
    for i, row in enumerate(rows):
        atlas.paste(_sprite(folder, "google", row["emoji"] + ".png"), (side * (i % columns), side * (i // columns)))
    sprites.ASSETS.mkdir(exist_ok=True)
    atlas.save(sprites.ASSETS / "sprites.png", optimize=True)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (sprites.ASSETS / "sprites.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def load(folder: Path) -> Drawings:
    """All drawings of both sets but the held-out and tuning ones (in either drawing) and the skin-tone variants."""
    hidden = {e for e, _ in (*HELD_OUT.values(), *TUNING.values())}
    hidden_words = set(HELD_OUT) | set(TUNING)
    textures, names = [], []
    for name in PACKAGES:
        for row in json.loads((folder / name / "package" / "emoji.json").read_text(encoding="utf-8")):
            code = row["image"].removesuffix(".png")
            words = row["short_name"].replace("_", " ").replace("-", " ").lower()
            flagged = row["category"] in ("Flags", "Symbols") or not row[f"has_img_{name}"]
            # A second drawing of a thing has a number: "tiger2".
            if flagged or code in hidden or hidden_words & {word.rstrip("0123456789") for word in words.split()}:
                continue
            textures.append(np.asarray(_sprite(folder, name, row["image"])))
            names.append(words)
    stacked = np.concatenate(textures, axis=1)
    return Drawings(textures=sprites.to_textures(stacked, len(textures)).to(torch.float16), names=tuple(names))


def _sprite(folder: Path, name: str, image: str) -> Image.Image:
    """One drawing, cropped to its ink, centred on a square with a thin margin, scaled to the sprite size."""
    picture = Image.open(folder / name / "package" / "img" / name / "64" / image).convert("RGBA")
    picture = picture.crop(picture.getbbox())
    side = round(max(picture.size) * 1.04)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    # Premultiplied, so that the colour of invisible pixels does not bleed into the edge.
    return square.convert("RGBa").resize((sprites.SPRITE_SIZE,) * 2, Image.Resampling.LANCZOS).convert("RGBA")

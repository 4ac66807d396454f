"""What training looks at, drawn ahead: photographs of many individuals, and clips of them as latents.

Drawing an individual takes as long as a training step spends on it, so what is drawn is kept in the work folder and
shown many times. Entry n of a pool is a function of n alone: a larger pool begins with the smaller one's entries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.files import written_aside
from engine.pretraining import traits
from engine.pretraining.ahead import spare_processors
from engine.pretraining.stage import Run
from engine.training import generator_at
from engine.world import motions, pictures
from engine.world.individuals import CLASSES, Individual, colour_word, individual

PHOTOGRAPHS_EACH = 2
"""Photographs of an individual in the pool, one after the other: what is the same in both is the individual."""
LATENT_POOLS = ("photographs", "clips")
_FRAME_SHARE, _NAMELESS_SHARE = 0.3, 0.3
_CHUNK = 32
Bytes = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """What an entry shows, as far as captions can tell. `motion` is "" in photographs, None for a nameless path."""

    class_word: str
    colour: str
    scene: str
    motion: str | None


@dataclass(frozen=True)
class Drawn:
    """One entry: `pixels` `(F, 64, 64, 3)` and `alpha` `(F, 64, 64)`, 8 bits, and what they show."""

    pixels: Bytes
    alpha: Bytes
    shown: Shown


def individual_of(n: int) -> Individual:
    """The n-th individual that training sees."""
    return individual(CLASSES[n % len(CLASSES)], n, "train")


def draw_photograph(n: int) -> Drawn:
    """Entry n of the photographs: a photograph, or a frame of a clip, in which things are turned and sized further."""
    one = individual_of(n // PHOTOGRAPHS_EACH)
    generator = generator_at(n, 0, "photograph")
    if float(torch.rand((), generator=generator)) >= _FRAME_SHARE:
        taken = pictures.photograph(one, n)
        return _entry(one, taken.pixels[None], taken.alpha[None], taken.scene, "")
    filmed = draw_clip(n, one)
    i = int(torch.randint(len(filmed.pixels), (), generator=generator))
    return Drawn(filmed.pixels[i : i + 1], filmed.alpha[i : i + 1], filmed.shown)


def draw_clip(n: int, one: Individual | None = None, frames: int = pictures.FRAMES) -> Drawn:
    """Entry n of the clips: a known motion, or a path drawn by chance, which teaches that a word may ask for any."""
    one = one or individual_of(n)
    generator = generator_at(n, 0, "clip")
    names = list(motions.KNOWN)
    nameless = float(torch.rand((), generator=generator)) < _NAMELESS_SHARE
    motion = None if nameless else names[int(torch.randint(len(names), (), generator=generator))]
    filmed = pictures.clip(one, motion, n, frames=frames)
    return _entry(one, filmed.frames, filmed.alpha, filmed.scene, motion)


def _entry(one: Individual, pixels: Bytes, alpha: NDArray[np.float32], scene: str, motion: str | None) -> Drawn:
    shown = Shown(one.class_word, colour_word(one), scene, motion)
    return Drawn(pixels, (alpha * 255).round().astype(np.uint8), shown)


class Photographs:
    """A pool of single pictures: `pixels` `(N, 64, 64, 3)` and `alpha` `(N, 64, 64)` in bytes, and what they show."""

    def __init__(self, pixels: Bytes, alpha: Bytes, shown: Sequence[Shown]) -> None:
        self.pixels, self.alpha, self.shown = pixels, alpha, shown

    def __len__(self) -> int:
        return len(self.shown)

    def frames(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels `(B, 3, H, W)` in [-1, 1] and masks `(B, 1, H, W)` in [0, 1] of these entries."""
        pixels = torch.from_numpy(self.pixels[indices.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1
        return pixels, torch.from_numpy(self.alpha[indices.numpy()])[:, None].float() / 255

    def windows(self, indices: Tensor, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`frames`, but of each only a square of that side around a point of the individual."""
        pixels, masks = self.frames(indices)
        return _around(pixels, masks, masks, side, generator)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` entries by chance."""
        return torch.randint(len(self), (count,), generator=generator)

    def draw_pairs(self, count: int, group: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two photographs each of `count` individuals, in groups of `group` of one class and colour word."""
        chosen: list[int] = []
        while len(chosen) < count:
            members = self._alike[int(torch.randint(len(self._alike), (), generator=generator))]
            order = torch.randperm(len(members), generator=generator)[: min(group, count - len(chosen))]
            chosen += members[order].tolist()
        first = torch.tensor(chosen) * PHOTOGRAPHS_EACH
        return first, first + 1

    @cached_property
    def _alike(self) -> list[Tensor]:
        """The individuals of each class and colour word of whom there are two or more."""
        groups: dict[tuple[str, str], list[int]] = {}
        for n, shown in enumerate(self.shown[::PHOTOGRAPHS_EACH]):
            groups.setdefault((shown.class_word, shown.colour), []).append(n)
        return [torch.tensor(members) for members in groups.values() if len(members) > 1]


class Clips:
    """A pool of clips: `pixels` `(N, F, 64, 64, 3)` and `alpha` `(N, F, 64, 64)` in bytes, and what they show."""

    def __init__(self, pixels: Bytes, alpha: Bytes, shown: Sequence[Shown]) -> None:
        self.pixels, self.alpha, self.shown = pixels, alpha, shown

    def __len__(self) -> int:
        return len(self.shown)

    def frames(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels `(B, 3, F, H, W)` in [-1, 1] and masks `(B, 1, F, H, W)` in [0, 1] of these entries."""
        pixels = torch.from_numpy(self.pixels[indices.numpy()]).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        return pixels, torch.from_numpy(self.alpha[indices.numpy()])[:, None].float() / 255

    def windows(self, indices: Tensor, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`frames`, but of each only a square of that side around a point of the individual in some frame."""
        pixels, masks = self.frames(indices)
        return _around(pixels, masks, masks.mean(dim=2), side, generator)


def _around(
    pixels: Tensor, masks: Tensor, where: Tensor, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Of pixels and masks `(B, ..., H, W)` a square around a point, likelier where `where` `(B, 1, H, W)` is large."""
    size = pixels.shape[-1]
    points = torch.multinomial(where.flatten(1) + 1e-3, 1, generator=generator)[:, 0]
    corners = torch.stack([points // size, points % size], dim=1) - side // 2
    moved = corners + torch.randint(-side // 4, side // 4 + 1, corners.shape, generator=generator)
    places = moved.clamp(0, size - side).tolist()
    return _squares(pixels, places, side), _squares(masks, places, side)


def _squares(whole: Tensor, corners: Iterable[Sequence[int]], side: int) -> Tensor:
    """Of each of `whole` `(B, ..., h, w)` the square of that side whose upper left corner (row, column) is given."""
    cut = [one[..., top : top + side, left : left + side] for one, (top, left) in zip(whole, corners, strict=True)]
    return torch.stack(cut)


class _Chunks(Dataset[T], Generic[T]):
    """A pool's entries as `make(n)` gives them, in chunks."""

    def __init__(self, make: Callable[[int], Drawn], count: int, pack: Callable[[list[Drawn]], T]) -> None:
        self.make, self.count, self.pack = make, count, pack

    def __len__(self) -> int:
        return -(-self.count // _CHUNK)

    def __getitem__(self, i: int) -> T:
        torch.set_num_threads(1)
        return self.pack([self.make(n) for n in range(_CHUNK * i, min(_CHUNK * (i + 1), self.count))])


def _chunks(make: Callable[[int], Drawn], count: int) -> Iterator[list[Drawn]]:
    yield from DataLoader(_Chunks(make, count, list), batch_size=None, num_workers=spare_processors())


def photographs(count: int, work: Path) -> Photographs:
    """The pool of `count` photographs, drawn into `work` unless it is there."""
    pixels, alpha, shown = _kept(work / f"photographs-{count}", draw_photograph, (count,))
    return Photographs(pixels, alpha, shown)


def clips(count: int, frames: int, work: Path) -> Clips:
    """The pool of `count` clips of so many frames, drawn into `work` unless it is there."""
    pixels, alpha, shown = _kept(work / f"clips-{count}x{frames}", partial(draw_clip, frames=frames), (count, frames))
    return Clips(pixels, alpha, shown)


def _kept(folder: Path, make: Callable[[int], Drawn], shape: tuple[int, ...]) -> tuple[Bytes, Bytes, list[Shown]]:
    """A pool's pixels `(*shape, 64, 64, 3)`, alpha, and what its entries show."""
    record = folder / "shown.json"  # written last
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, make, shape)
    shown = [Shown(**row) for row in json.loads(record.read_text(encoding="utf-8"))]
    pixels, alpha = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("pixels", "alpha"))
    return pixels, alpha, shown


def _write(folder: Path, make: Callable[[int], Drawn], shape: tuple[int, ...]) -> None:
    sides = (*shape, pictures.SIZE, pictures.SIZE)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (*sides, 3))
    alpha = np.lib.format.open_memmap(folder / "alpha.npy", "w+", np.uint8, sides)
    shown: list[dict[str, object]] = []
    for chunk in _chunks(make, shape[0]):
        for drawn in chunk:
            # A photograph is an entry of one frame, without an axis for it.
            pixels[len(shown)] = drawn.pixels.reshape(pixels.shape[1:])
            alpha[len(shown)] = drawn.alpha.reshape(alpha.shape[1:])
            shown.append(asdict(drawn.shown))
    with written_aside(folder / "shown.json") as partial_file:
        partial_file.write_text(json.dumps(shown), encoding="utf-8")


@dataclass(frozen=True)
class Latents:
    """Normalised latent means `(N, f, C, h, w)` in float16, and what each entry shows.

    `covered` `(N, f, 1, h, w)` in float16 is the part of each latent's pixels that the individual covers, `traits`
    `(N, T)` who it is.
    """

    latents: Tensor
    covered: Tensor
    shown: Sequence[Shown]
    traits: Tensor


Encode = Callable[[Tensor], Tensor]
"""Windows `(B, 3, F, H, W)` in [-1, 1] to normalised means of their latents `(B, C, f, h, w)`."""


def photograph_latents(pool: Photographs, encode: Encode, run: Run) -> Latents:
    """The photographs as latents, f = 1, kept in the work folder."""

    def frames(indices: Tensor) -> tuple[Tensor, Tensor]:
        pixels, masks = pool.frames(indices)
        return pixels[:, :, None], masks[:, :, None]

    if (kept := _kept_latents("photographs", len(pool), run)) is not None:
        return kept
    numbers = [n // PHOTOGRAPHS_EACH for n in range(len(pool))]
    return _latents("photographs", numbers, pool.shown, frames, 8 * _CHUNK, encode, run)


def clip_latents(count: int, frames: int, encode: Encode, run: Run) -> Latents:
    """`count` clips of so many frames as latents, kept in the work folder."""
    if (kept := _kept_latents("clips", count, run)) is not None:
        return kept
    pool = clips(count, frames, run.work)
    return _latents("clips", list(range(count)), pool.shown, pool.frames, _CHUNK, encode, run)


def _kept_latents(name: str, count: int, run: Run) -> Latents | None:
    """Those that the work folder has, if they are so many."""
    path = run.work / f"{name}.latents.safetensors"
    if not path.exists():
        return None
    kept = load_file(path)
    if len(kept["latents"]) != count:
        return None
    shown = [Shown(**row) for row in json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))]
    return Latents(kept["latents"], kept["covered"], shown, kept["traits"])


def _latents(
    name: str,
    numbers: Sequence[int],
    shown: Sequence[Shown],
    frames: Callable[[Tensor], tuple[Tensor, Tensor]],
    at_once: int,
    encode: Encode,
    run: Run,
) -> Latents:
    """The entries as latents; `numbers` are their individuals', `frames` gives entries' pixels and masks."""
    path = run.work / f"{name}.latents.safetensors"
    made: list[Tensor] = []
    parts: list[Tensor] = []
    with torch.no_grad(), run.accelerator.autocast():
        for indices in torch.arange(len(numbers)).split(at_once):
            pixels, masks = frames(indices)
            latents = encode(pixels.to(run.device)).float().cpu()
            made.append(latents.transpose(1, 2).half())
            parts.append(_share(masks, latents.shape[2:]).transpose(1, 2).half())
    latents, covered = torch.cat(made), torch.cat(parts)
    known = {n: traits.of(individual_of(n)) for n in set(numbers)}
    tensors = {"latents": latents, "covered": covered, "traits": torch.stack([known[n] for n in numbers])}
    path.with_suffix(".json").write_text(json.dumps([asdict(one) for one in shown]), encoding="utf-8")
    with written_aside(path) as partial_file:
        save_file(tensors, partial_file)
    return Latents(latents, covered, shown, tensors["traits"])


def _share(masks: Tensor, shape: Sequence[int]) -> Tensor:
    """What of each latent's pixels masks `(B, 1, F, H, W)` cover, by the latents' `(f, h, w)`.

    Where there are fewer frames of latents, the first is of the first frame, and the others are of as many each.
    """
    shares = F.adaptive_avg_pool3d(masks, (masks.shape[2], shape[1], shape[2]))
    if shape[0] == masks.shape[2]:
        return shares
    later = shares[:, :, 1:].unflatten(2, (shape[0] - 1, -1)).mean(dim=3)
    return torch.cat([shares[:, :, :1], later], dim=2)

"""Latents, masks and image embeddings of the training data: encoded once, before the first step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.bases.base import Base
from engine.data.clips import ClipInfo, stream_clip
from engine.data.images import Pixels, fit, read_image, shifted
from engine.data.masks import Mask, Share, fit_mask, pool_mask, read_mask
from engine.data.windows import FrameSampling

FRAMES_AT_ONCE = 64
"""Frames of a clip that are in memory while it is encoded: a multiple of what encoders take at a time."""

_SHIFTED_VIEWS = 16
"""Views of each training image that are shifted by chance."""

OnFrames = Callable[[int, int], None]
"""Told how many frames of a clip are done, and of how many."""


@dataclass(frozen=True)
class Latents:
    """Latents of N frames `(N, C, h, w)`, or of N windows `(N, C, f, h, w)`: mean and standard deviation.

    Both are kept, so that sampling the autoencoder at each step stays honest.
    """

    mean: Tensor
    std: Tensor

    def sample(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the latents of `indices` `(K,)`: `(K, C, ...)`."""
        noise = torch.randn((len(indices), *self.mean.shape[1:]), generator=generator)
        return self.mean[indices] + self.std[indices] * noise


@dataclass(frozen=True)
class Views:
    """Views of training images, all of one size: their latents `(N, C, 1, h, w)`, the number of the image that each is
    of `(N,)`, and loss masks `(N, 1, h, w)` at latent resolution (the share of each latent's area that lies inside)."""

    latents: Latents
    image_of: Tensor
    masks: Tensor | None

    def __len__(self) -> int:
        return len(self.image_of)

    def where(self, chosen: Tensor) -> Views:
        """Those that are `chosen` `(N,)` bool."""
        latents = Latents(self.latents.mean[chosen], self.latents.std[chosen])
        return Views(latents, self.image_of[chosen], None if self.masks is None else self.masks[chosen])


@dataclass(frozen=True)
class EncodedImages:
    """Training images: their views by size, and image embeddings `(K, C')` of the K images themselves."""

    sizes: tuple[Views, ...]
    embeddings: Tensor | None

    def split(self, held_out: int) -> tuple[EncodedImages, EncodedImages]:
        """All but the last `held_out` images, and those; of 0, all of them twice."""
        if held_out == 0:
            return self, self
        first = max(int(views.image_of.max()) for views in self.sizes) + 1 - held_out
        learnt = tuple(views.where(views.image_of < first) for views in self.sizes)
        held = tuple(views.where(views.image_of >= first) for views in self.sizes)
        own, others = (None, None) if self.embeddings is None else (self.embeddings[:first], self.embeddings[first:])
        return EncodedImages(tuple(filter(len, learnt)), own), EncodedImages(tuple(filter(len, held)), others)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Views, Tensor]:
        """Views of one size, and which of them a batch of `count` has, `(count,)`. A size is drawn as often as its
        share of all views, so each view as often as any other."""
        views = self.sizes[0]
        if len(self.sizes) > 1:
            counts = torch.tensor([len(views) for views in self.sizes])
            place = torch.randint(int(counts.sum()), (), generator=generator)
            views = self.sizes[int((counts.cumsum(0) <= place).sum())]
        return views, torch.randint(len(views), (count,), generator=generator)


@dataclass(frozen=True)
class CutWindows:
    """Windows of a clip whose frames are encoded one by one: cut from the latents of N frames, wherever they start."""

    latents: Latents
    sampling: FrameSampling
    source_fps: float

    @property
    def frames(self) -> int:
        """Frames of a window's latents."""
        return len(self.sampling.indices(0, len(self.latents.mean), self.source_fps))

    def first(self) -> Tensor:
        """The mean latents of the first window, `(C, f, h, w)`."""
        frames = self.sampling.indices(0, len(self.latents.mean), self.source_fps)
        return self.latents.mean[torch.from_numpy(frames)].transpose(0, 1)

    def draw(self, generator: torch.Generator) -> Tensor:
        """The latents of a random window, `(C, f, h, w)`."""
        available = len(self.latents.mean)
        start = int(torch.randint(self.sampling.windows(available, self.source_fps), (), generator=generator))
        frames = torch.from_numpy(self.sampling.indices(start, available, self.source_fps))
        if self.sampling.control != "none" and torch.rand((), generator=generator) < 0.5:
            seed = int(torch.randint(2**31, (), generator=generator))
            frames = frames[torch.from_numpy(self.sampling.disturbed(len(frames), seed))]
        return self.latents.sample(frames, generator).transpose(0, 1)


@dataclass(frozen=True)
class StoredWindows:
    """Windows of a clip for a codec that encodes them whole: latents of K windows that were chosen ahead."""

    latents: Latents

    @property
    def frames(self) -> int:
        """Frames of a window's latents."""
        return self.latents.mean.shape[2]

    def first(self) -> Tensor:
        """The mean latents of the first window, `(C, f, h, w)`."""
        return self.latents.mean[0]

    def draw(self, generator: torch.Generator) -> Tensor:
        """The latents of a random window, `(C, f, h, w)`."""
        return self.latents.sample(torch.randint(len(self.latents.mean), (1,), generator=generator), generator)[0]


@dataclass(frozen=True)
class EncodedClip:
    """A training clip: its windows, and the image embeddings `(N, C')` of its frames."""

    windows: CutWindows | StoredWindows
    embeddings: Tensor | None


def to_window(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Frames `(F, H, W, 3)` uint8 to a window `(3, F, H, W)` in [-1, 1]."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1


def to_frames(windows: Tensor) -> npt.NDArray[np.uint8]:
    """Windows `(B, 3, F, H, W)` in [-1, 1], cut where they are beyond, to frames `(B, F, H, W, 3)` uint8."""
    pixels = ((windows.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    frames: npt.NDArray[np.uint8] = pixels.permute(0, 2, 3, 4, 1).contiguous().numpy()
    return frames


def encode_images(
    base: Base,
    images: Sequence[Path],
    masks: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    *,
    shift: float = 0.0,
    generator: torch.Generator | None = None,
) -> EncodedImages:
    """Read, fit and encode images at a size (width, height) each, and their masks where there are any (one an image,
    or none at all).

    With `shift`, 16 views more of each, moved by up to that share of its sides, what comes in being a reflection.
    """
    originals = [read_image(path) for path in images]
    pictures = [fit(pixels, size) for pixels, size in zip(originals, sizes, strict=True)]
    whole = [
        read_mask(path, (pixels.shape[1], pixels.shape[0]))
        for path, pixels in zip(masks, originals, strict=bool(masks))
    ]
    views = []
    for size in dict.fromkeys(sizes):
        alike = [number for number, own in enumerate(sizes) if own == size]
        areas = [_area(whole[number], size, base.layout.scale) for number in alike] if whole else None
        encoded = _views(base, [pictures[number] for number in alike], areas, shift, generator)
        views.append(replace(encoded, image_of=torch.tensor(alike)[encoded.image_of]))
    return EncodedImages(tuple(views), base.encode_images(pictures) if base.image_encoder is not None else None)


def _area(mask: Mask, size: tuple[int, int], scale: int) -> Share:
    """A mask of an image at the latents of a size."""
    return pool_mask(fit_mask(mask, size), (size[0] // scale, size[1] // scale))


def _views(
    base: Base,
    pictures: Sequence[Pixels],
    areas: Sequence[Share] | None,
    shift: float,
    generator: torch.Generator | None,
) -> Views:
    """The views of pictures `(H, W, 3)` of one size, by their numbers, and of their masks at the latents' size."""
    scale = base.layout.scale
    height, width = (side // scale for side in pictures[0].shape[:2])
    offsets = _offsets(len(pictures), (width, height), shift, generator)
    if areas is not None:  # A view that the subject was moved out of teaches nothing.
        offsets = [(k, x, y) for k, x, y in offsets if shifted(areas[k], x, y).any()]
    moved = [shifted(pictures[k], x * scale, y * scale) for k, x, y in offsets]
    mean, std = base.codec.encode(to_window(np.stack(moved)).transpose(0, 1).unsqueeze(2))
    masks = None
    if areas is not None:
        masks = torch.stack([torch.from_numpy(shifted(areas[k], x, y).copy())[None] for k, x, y in offsets])
    return Views(Latents(mean, std), torch.tensor([k for k, _, _ in offsets]), masks)


def _offsets(
    images: int, sides: tuple[int, int], shift: float, generator: torch.Generator | None
) -> list[tuple[int, int, int]]:
    """Which image each view is of, and how far it is moved to the right and down, in pixels of the latents."""
    offsets = [(k, 0, 0) for k in range(images)]
    reach = [int(shift * side) for side in sides]
    if any(reach):
        for k in range(images):
            for _ in range(_SHIFTED_VIEWS):
                x, y = (int(torch.randint(-r, r + 1, (), generator=generator)) for r in reach)
                offsets.append((k, x, y))
    return offsets


def encode_clip(
    base: Base,
    clip: ClipInfo,
    sampling: FrameSampling,
    *,
    size: tuple[int, int],
    appearance: bool,
    on_frames: OnFrames | None = None,
) -> EncodedClip:
    """Decode and encode a clip: all frames that a window may hold, or, for a codec that takes windows whole, windows
    spread over the clip. Pixels of `FRAMES_AT_ONCE` frames, or of a window, are in memory at a time.

    `on_frames` is told how many frames are done, and of how many.
    """
    # Where the rate of a clip varies, some of its frames are read more than once. They are encoded once.
    numbers, frame_of = np.unique(clip.order, return_inverse=True)
    once = replace(clip, order=tuple(numbers.tolist()), frames=len(numbers))
    encoder: _FrameEncoder | _WindowEncoder
    if base.layout.frame_step == 1:
        encoder = _FrameEncoder(base, once.frames, size)
    else:
        encoder = _WindowEncoder(base, [frame_of[window] for window in sampling.windows_ahead(clip.frames, clip.fps)])
    embeddings: list[Tensor] = []
    frames = stream_clip(once, size)
    done = 0
    while chunk := list(islice(frames, FRAMES_AT_ONCE)):
        encoder.add(done, chunk)
        if appearance:
            embeddings.append(base.encode_images(chunk))
        done += len(chunk)
        if on_frames is not None:
            on_frames(done, once.frames)
    latents, every = encoder.latents(), torch.cat(embeddings) if embeddings else None
    if isinstance(encoder, _WindowEncoder):
        return EncodedClip(StoredWindows(latents), every)
    if once.frames < clip.frames:
        latents, every = (
            Latents(latents.mean[frame_of], latents.std[frame_of]),
            None if every is None else every[frame_of],
        )
    return EncodedClip(CutWindows(latents, sampling, clip.fps), every)


class _FrameEncoder:
    """Encodes frames one by one, as they come."""

    def __init__(self, base: Base, frames: int, size: tuple[int, int]) -> None:
        self._base = base
        channels, _, height, width = base.layout.shape(1, size)
        self._mean, self._std = (torch.empty(frames, channels, height, width) for _ in range(2))

    def add(self, first: int, chunk: Sequence[Pixels]) -> None:
        encoded = self._base.codec.encode(to_window(np.stack(chunk))[None])
        for whole, part in zip((self._mean, self._std), encoded, strict=True):
            whole[first : first + len(chunk)] = part[0].transpose(0, 1)

    def latents(self) -> Latents:
        return Latents(self._mean, self._std)


class _WindowEncoder:
    """Encodes windows, each given by the numbers of its frames, as soon as all its frames have come."""

    def __init__(self, base: Base, windows: Sequence[npt.NDArray[np.int64]]) -> None:
        self._base = base
        self._waiting = deque(windows)
        self._wanted = set(np.concatenate(windows).tolist())
        self._frames: dict[int, Pixels] = {}
        self._encoded: list[tuple[Tensor, Tensor]] = []

    def add(self, first: int, chunk: Sequence[Pixels]) -> None:
        self._frames |= {number: frame for number, frame in enumerate(chunk, first) if number in self._wanted}
        while self._waiting and int(self._waiting[0].max()) in self._frames:
            window = np.stack([self._frames[int(number)] for number in self._waiting.popleft()])
            self._encoded.append(self._base.codec.encode(to_window(window)[None]))
            # A control that holds one frame again and again may begin behind where the next window does.
            needed = min((int(window.min()) for window in self._waiting), default=first + len(chunk))
            self._frames = {number: frame for number, frame in self._frames.items() if number >= needed}

    def latents(self) -> Latents:
        means, stds = zip(*self._encoded, strict=True)
        return Latents(torch.cat(means), torch.cat(stds))

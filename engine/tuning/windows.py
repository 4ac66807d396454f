"""Windows of a data set's clips as latents: decoded and encoded when a step needs them, kept on disk up to a limit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.bases.base import Base
from engine.data.clips import ClipInfo, stream_clip
from engine.data.encoding import Latents, to_window
from engine.data.images import Pixels
from engine.data.windows import FrameSampling
from engine.files import written_aside
from engine.identity import hashed

_DECODERS = 8


@dataclass(frozen=True)
class Window:
    """A window of the clip number `clip` of a data set; `start` is its first frame."""

    clip: int
    start: int


class KeptLatents:
    """Latents in a folder, up to `most_bytes`: what comes when it is full isn't kept.

    Nothing is thrown out: where every clip is as likely to come next as any other, that would gain nothing.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._room = folder, most_bytes
        if folder.is_dir():
            self._room -= sum(file.stat().st_size for file in folder.iterdir())

    def holds(self, key: str) -> bool:
        """Whether something was kept."""
        return self._file(key).exists()

    def get(self, key: str) -> Latents | None:
        """What was kept; None for nothing, or what can't be read."""
        try:
            found = load_file(self._file(key))
            return Latents(found["mean"], found["std"])
        except (OSError, KeyError, SafetensorError):
            return None

    def put(self, key: str, latents: Latents) -> None:
        """Keep latents, where there is room."""
        tensors = {"mean": latents.mean.contiguous(), "std": latents.std.contiguous()}
        size = sum(tensor.nbytes for tensor in tensors.values())
        if size > self._room:
            return
        try:
            with written_aside(self._file(key)) as partial:
                save_file(tensors, partial)
            self._room -= size
        except OSError:
            self._room = 0  # A disk that is full only costs time.

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


class WindowReader:
    """Gives the latents of windows. Frames of windows that are announced are decoded meanwhile, by other threads."""

    def __init__(
        self, base: Base, clips: Sequence[ClipInfo], sampling: FrameSampling, size: tuple[int, int], kept: KeptLatents
    ) -> None:
        self._base, self._clips, self._sampling, self._size, self._kept = base, clips, sampling, size, kept
        self._decoders = ThreadPoolExecutor(min(_DECODERS, os.cpu_count() or 1))
        self._decoding: dict[Window, Future[Pixels]] = {}

    def __enter__(self) -> WindowReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoders.shutdown(wait=False, cancel_futures=True)

    def announce(self, windows: Sequence[Window]) -> None:
        """Tell which windows are needed next, so that their frames are there by then."""
        for window in windows:
            if window not in self._decoding and not self._kept.holds(self._key(window)):
                self._decoding[window] = self._decoders.submit(self._frames, window)

    @torch.no_grad()
    def latents(self, window: Window) -> Latents:
        """A window's latents, mean and standard deviation `(C, f, h, w)`. Raises `InputError` for a clip that can't be
        read any more."""
        decoding = self._decoding.pop(window, None)
        key = self._key(window)
        found = self._kept.get(key) if decoding is None else None
        if found is None:
            frames = self._frames(window) if decoding is None else decoding.result()
            mean, std = self._base.codec.encode(to_window(frames)[None])
            found = Latents(mean[0], std[0])
            self._kept.put(key, found)
        return found

    def _frames(self, window: Window) -> Pixels:
        clip = self._clips[window.clip]
        order = tuple(clip.order[i] for i in self._sampling.indices(window.start, clip.frames, clip.fps))
        return np.stack(list(stream_clip(replace(clip, order=order, frames=len(order)), self._size)))

    def _key(self, window: Window) -> str:
        clip, base = self._clips[window.clip], self._base
        frames = [clip.order[i] for i in self._sampling.indices(window.start, clip.frames, clip.fps)]
        return hashed([clip.sha256, frames, self._size, base.fingerprint])

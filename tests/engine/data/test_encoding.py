"""Encoding photographs, masks and clips."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.bases.base import Base
from engine.bases.family import Layout
from engine.data.clips import ClipInfo, probe_clip
from engine.data.encoding import FRAMES_AT_ONCE, CutWindows, Latents, encode_clip, encode_images, to_window
from engine.data.images import shifted
from engine.data.windows import Control, FrameSampling


def test_shifted_views_take_their_masks_along(base: Base, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[6:8, 6:8] = 255  # one pixel of the latents, too far from the edges to be reflected
    image, painted = tmp_path / "a.png", tmp_path / "mask.png"
    Image.fromarray(picture).save(image)
    Image.fromarray(mask).save(painted)
    generator = torch.Generator().manual_seed(0)
    encoded = encode_images(base, [image], [painted], [(16, 16)], shift=0.25, generator=generator)
    (seen,) = encoded.sizes
    assert seen.masks is not None
    assert encoded.embeddings is not None
    assert len(seen.latents.mean) == len(seen.masks) == 17
    assert len(encoded.embeddings) == 1
    places = [tuple(torch.nonzero(view[0])[0].tolist()) for view in seen.masks]
    assert places[0] == (3, 3)
    assert len(set(places)) > 5
    assert max(abs(side - 3) for place in places for side in place) == 2
    for mean, (down, right) in zip(seen.latents.mean, places, strict=True):
        moved = shifted(picture, 2 * (right - 3), 2 * (down - 3))
        torch.testing.assert_close(mean, base.codec.encode(to_window(moved[None])[None])[0][0])
    (plain,) = encode_images(base, [image], [painted], [(16, 16)]).sizes
    torch.testing.assert_close(plain.latents.mean, seen.latents.mean[:1])


def clip_of(frames: np.ndarray, folder: Path) -> ClipInfo:
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return probe_clip(folder, source_fps=8)


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8)


def test_a_clip_is_encoded_in_chunks_to_the_same_latents(base: Base, tmp_path: Path) -> None:
    frames = noise(FRAMES_AT_ONCE + 9)
    told: list[tuple[int, int]] = []
    encoded = encode_clip(
        base, clip_of(frames, tmp_path / "clip"), FrameSampling(4, 8), size=(16, 16), appearance=True,
        on_frames=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    assert told == [(FRAMES_AT_ONCE, len(frames)), (len(frames), len(frames))]
    mean, std = base.codec.encode(to_window(frames)[None])
    torch.testing.assert_close(encoded.windows.latents.mean, mean[0].transpose(0, 1))
    torch.testing.assert_close(encoded.windows.latents.std, std[0].transpose(0, 1))
    assert encoded.embeddings is not None
    torch.testing.assert_close(encoded.embeddings, base.encode_images(list(frames)))


def test_of_a_long_clip_few_frames_are_in_memory(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(noise(3), tmp_path / "clip")
    clip = replace(clip, frames=300, order=tuple(range(300)))
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def streamed(clip: ClipInfo, size: tuple[int, int]) -> Iterator[np.ndarray]:
        nonlocal alive, most
        for _ in range(clip.frames):
            frame = np.zeros((size[1], size[0], 3), np.uint8)
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            yield frame

    monkeypatch.setattr("engine.data.encoding.stream_clip", streamed)
    encode_clip(base, clip, FrameSampling(4, 8), size=(16, 16), appearance=True)
    assert 0 < most <= 2 * FRAMES_AT_ONCE


def test_frames_that_are_shown_more_than_once_are_encoded_once(base: Base, tmp_path: Path) -> None:
    clip = replace(clip_of(noise(3), tmp_path / "clip"), frames=6, order=(0, 0, 0, 1, 2, 2))
    told: list[int] = []
    encoded = encode_clip(
        base, clip, FrameSampling(4, 8), size=(16, 16), appearance=True,
        on_frames=lambda done, _: told.append(done),
    )  # fmt: skip
    mean = encoded.windows.latents.mean
    assert told == [3]
    assert len(mean) == 6
    assert (mean[0] == mean[2]).all()
    assert (mean[2] != mean[3]).any()
    assert (mean[4] == mean[5]).all()


def test_a_view_without_its_subject_is_not_trained_on(base: Base, tmp_path: Path) -> None:
    image, painted = tmp_path / "a.png", tmp_path / "mask.png"
    Image.fromarray(noise(1)[0]).save(image)
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[6:8, :2] = 255  # at the left edge: a view that is moved to the left has none of it
    Image.fromarray(mask).save(painted)
    generator = torch.Generator().manual_seed(0)
    (seen,) = encode_images(base, [image], [painted], [(16, 16)], shift=0.5, generator=generator).sizes
    assert seen.masks is not None
    assert (seen.masks.amax(dim=(1, 2, 3)) > 0).all()
    assert 1 < len(seen.masks) < 17
    assert len(seen.masks) == len(seen.latents.mean) == len(seen.image_of)


def test_a_batch_is_of_one_size_and_every_view_as_likely_as_any_other(base: Base, tmp_path: Path) -> None:
    sizes = [(16, 16), (32, 8), (16, 16), (16, 16)]
    paths = [tmp_path / f"{number}.png" for number in range(len(sizes))]
    for number, (path, (width, height)) in enumerate(zip(paths, sizes, strict=True)):
        Image.fromarray(np.full((height, width, 3), 60 * number, dtype=np.uint8)).save(path)
    images = encode_images(base, paths, [], sizes)
    assert [views.image_of.tolist() for views in images.sizes] == [[0, 2, 3], [1]]
    assert [views.latents.mean.shape[-2:] for views in images.sizes] == [(8, 8), (4, 16)]
    for views in images.sizes:
        for mean, number in zip(views.latents.mean, views.image_of.tolist(), strict=True):
            alone = encode_images(base, [paths[number]], [], [sizes[number]]).sizes[0]
            torch.testing.assert_close(mean, alone.latents.mean[0])
    generator = torch.Generator().manual_seed(0)
    drawn = [views.image_of[chosen] for views, chosen in (images.draw(2, generator) for _ in range(1000))]
    assert {tuple(sorted(numbers.tolist())) for numbers in drawn if 1 in numbers} == {(1, 1)}
    counts = torch.cat(drawn).bincount() / 2000
    torch.testing.assert_close(counts, torch.full((4,), 0.25), atol=0.03, rtol=0)


def test_images_that_are_held_out_keep_their_numbers_in_every_size(base: Base, tmp_path: Path) -> None:
    sizes = [(16, 16), (32, 8), (16, 16), (8, 32)]
    paths = [tmp_path / f"{number}.png" for number in range(len(sizes))]
    for path in paths:
        Image.fromarray(noise(1)[0]).save(path)
    images = encode_images(base, paths, [], sizes)
    assert images.embeddings is not None
    learnt, held_out = images.split(2)
    assert [views.image_of.tolist() for views in learnt.sizes] == [[0], [1]]
    assert [views.image_of.tolist() for views in held_out.sizes] == [[2], [3]]
    assert learnt.embeddings is not None and torch.equal(learnt.embeddings, images.embeddings[:2])
    assert held_out.embeddings is not None and torch.equal(held_out.embeddings, images.embeddings[2:])
    assert images.split(0) == (images, images)


@pytest.mark.parametrize("control", ["none", "shuffled", "still"])
def test_half_of_the_windows_are_the_control(base: Base, tmp_path: Path, control: Control) -> None:
    """Of a codec of single frames: each frame's latents tell which it is."""
    sampling = FrameSampling(8, 8, control=control)
    encoded = encode_clip(
        base, clip_of(noise(8), tmp_path / "clip"), sampling, size=(16, 16), appearance=False
    )  # fmt: skip
    means, generator = encoded.windows.latents.mean, torch.Generator().manual_seed(0)
    exact = CutWindows(Latents(means, torch.zeros_like(means)), sampling, 8)
    plain = 0
    for _ in range(40):
        window = exact.draw(generator).transpose(0, 1)
        seen = torch.cdist(window.flatten(1), means.flatten(1)).argmin(dim=1).tolist()
        plain += seen == list(range(8))
        assert sorted(seen) == list(range(8)) or (control == "still" and len(set(seen)) == 1)
    assert plain == 40 if control == "none" else 10 <= plain <= 30


@pytest.mark.parametrize("control", ["shuffled", "still"])
def test_windows_that_are_encoded_whole_have_their_control_beside_them(base: Base, control: Control) -> None:
    windows = FrameSampling(5, 8, frame_step=4, control=control).windows_ahead(12, 8)
    plain, others = windows[::2], windows[1::2]
    assert [w.tolist() for w in plain] == [w.tolist() for w in FrameSampling(5, 8, frame_step=4).windows_ahead(12, 8)]
    for window, other in zip(plain, others, strict=True):
        assert set(other) == set(window) if control == "shuffled" else len(set(other)) == 1
        assert set(other) <= set(window) and len(other) == 5
    assert any(other.tolist() != window.tolist() for window, other in zip(plain, others, strict=True))


@pytest.mark.parametrize("control", ["none", "shuffled", "still"])
def test_every_window_is_encoded_of_its_own_frames(tmp_path: Path, control: Control) -> None:
    """By a codec of whole windows, whose latents are the pixels themselves."""
    codec = SimpleNamespace(encode=lambda windows: (windows, torch.zeros_like(windows)))
    base: Any = SimpleNamespace(layout=Layout(3, 1, 1, frame_step=4), codec=codec)
    frames, sampling = noise(FRAMES_AT_ONCE + 20), FrameSampling(9, 8, frame_step=4, control=control)
    clip = clip_of(frames, tmp_path / "clip")
    encoded = encode_clip(base, clip, sampling, size=(16, 16), appearance=False)
    windows = sampling.windows_ahead(len(frames), 8)
    assert torch.equal(encoded.windows.latents.mean, torch.stack([to_window(frames[window]) for window in windows]))

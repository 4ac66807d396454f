"""Finding, probing and reading clips, and drawing windows of frames from them."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.data.clips import ClipInfo, FrameSampling, caption_beside, find_clips, probe_clip, read_clip
from engine.data.images import fit
from engine.errors import InputError
from engine.media import ffmpeg

GUITAR = Path(__file__).parents[2] / "../shared/data/motions/playing-guitar"


def made(path: Path, *, size: str = "64x48", fps: str = "25", frames: int = 20, extra: str = "") -> Path:
    """A clip whose frame n is an even grey, 10 n above black."""
    grey = f"nullsrc=s={size}:r={fps},geq=lum='16+N*10':cb=128:cr=128,format=yuv420p{extra}"
    coded = ["-frames:v", str(frames), "-c:v", "mpeg4", "-q:v", "1", "-y", f"file:{path}"]
    ffmpeg.run(["-f", "lavfi", "-i", grey, *coded])
    return path


def frame_folder(folder: Path, count: int, size: tuple[int, int] = (8, 6)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", size, (number, 0, 0)).save(folder / f"f{number}.png")
    return folder


def numbers(pixels: np.ndarray) -> list[int]:
    """Which frames of a `made` clip these are."""
    luma = pixels.mean(axis=(1, 2, 3)) * 219 / 255
    return [round(value / 10) for value in luma]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv", "a b = 'c', [d].mov", "-a:b.mp4"])
def test_video_is_counted_and_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    clip = made(tmp_path / name)
    info = probe_clip(clip)
    assert (info.width, info.height, info.frames, info.fps) == (64, 48, 20, 25)
    assert info.duration == pytest.approx(0.8)
    assert info.bytes == clip.stat().st_size
    pixels = read_clip(clip)
    assert pixels.shape == (20, 48, 64, 3)
    assert pixels.dtype == np.uint8
    assert numbers(pixels) == list(range(20))


def test_broadcast_rate_is_kept(tmp_path: Path) -> None:
    assert probe_clip(made(tmp_path / "a.mkv", fps="30000/1001")).fps == pytest.approx(29.97, abs=0.05)


def test_rotation_is_applied(tmp_path: Path) -> None:
    clip, turned = made(tmp_path / "a.mp4"), tmp_path / "turned.mp4"
    ffmpeg.run(["-display_rotation", "90", "-i", str(clip), "-c", "copy", str(turned)])
    info = probe_clip(turned)
    assert (info.width, info.height) == (48, 64)
    assert read_clip(turned).shape == (20, 64, 48, 3)
    assert read_clip(turned, size=(24, 32)).shape == (20, 32, 24, 3)


def test_pixels_become_square(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mp4", extra=",setsar=2/1")
    info = probe_clip(clip)
    assert (info.width, info.height) == (128, 48)
    assert read_clip(clip).shape[1:3] == (48, 128)


@pytest.mark.parametrize(("start", "end", "first", "last"), [(0.0, 0.2, 0, 4), (0.2, None, 5, 19), (0.1, 0.4, 3, 9)])
def test_trimming_takes_frames_from_start_to_before_end(
    tmp_path: Path, start: float, end: float | None, first: int, last: int
) -> None:
    clip = made(tmp_path / "a.mp4")
    assert numbers(read_clip(clip, start=start, end=end)) == list(range(first, last + 1))
    info = probe_clip(clip, start=start, end=end)
    assert (info.frames, info.frames_in_file) == (last + 1 - first, 20)


@given(start=st.floats(0, 0.9), length=st.floats(0.01, 1))
def test_a_folder_is_trimmed_as_it_is_counted(
    tmp_path_factory: pytest.TempPathFactory, start: float, length: float
) -> None:
    folder = tmp_path_factory.getbasetemp() / "frames"
    if not folder.is_dir():
        frame_folder(folder, 10)
    try:
        counted = probe_clip(folder, source_fps=10, start=start, end=start + length).frames
    except InputError:
        counted = 0
    if counted:
        assert len(read_clip(folder, source_fps=10, start=start, end=start + length)) == counted


def test_range_without_frames_is_refused(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mp4")
    for reads in (read_clip, probe_clip):
        with pytest.raises(InputError, match="no frame between 5 s and its end"):
            reads(clip, start=5)
        with pytest.raises(InputError, match="can't end at 1 s"):
            reads(clip, start=2, end=1)
        with pytest.raises(InputError, match="can't start at -1 s"):
            reads(clip, start=-1)


@pytest.mark.parametrize("size", [(32, 32), (16, 40), (96, 96), (33, 17)])
def test_size_while_decoding_is_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = tmp_path / "a.mkv"
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc=s=120x80:r=10:d=0.5", "-c:v", "ffv1", "-pix_fmt", "gbrp", str(clip)])
    decoded, fitted = read_clip(clip, size=size), fit(read_clip(clip), size)
    assert decoded.shape == (5, size[1], size[0], 3)
    assert (decoded == fitted).all()


def test_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "walk", 12)
    assert find_clips([folder]) == [folder]
    assert read_clip(folder)[:, 0, 0, 0].tolist() == list(range(12))
    assert read_clip(folder, size=(4, 4)).shape == (12, 4, 4, 3)
    told, assumed = probe_clip(folder, source_fps=24), probe_clip(folder)
    assert (told.frames, told.fps, told.duration, told.note) == (12, 24, 0.5, "")
    for reads in (read_clip, probe_clip):
        with pytest.raises(InputError, match="rate of 0 a second"):
            reads(folder, source_fps=0)
    assert (assumed.fps, assumed.note) == (8, "frame rate not given, taken as 8 fps")


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "walk", 3)
    Image.new("RGB", (6, 6)).save(folder / "f3.png")
    for reads in (read_clip, probe_clip):
        with pytest.raises(InputError, match="one size"):
            reads(folder)


def test_folder_of_videos_gives_the_videos(tmp_path: Path) -> None:
    for name in ("10.mp4", "9.avi"):
        made(tmp_path / name, frames=2)
    (tmp_path / "9.txt").write_text("a caption")
    assert [clip.name for clip in find_clips([tmp_path, tmp_path / "10.mp4"])] == ["9.avi", "10.mp4"]
    Image.new("RGB", (8, 8)).save(tmp_path / "cover.png")
    with pytest.raises(InputError, match="images and videos"):
        find_clips([tmp_path])


def test_text_named_mp4_is_refused_with_what_ffmpeg_says(tmp_path: Path) -> None:
    clip = tmp_path / "talk.mp4"
    clip.write_text("hello")
    for reads in (probe_clip, read_clip, lambda path: find_clips([path])):
        with pytest.raises(InputError, match=r"talk\.mp4 is not a video that ffmpeg can decode: .*Invalid data"):
            reads(clip)


def test_playlist_fetches_nothing_from_the_network(tmp_path: Path) -> None:
    asked: list[str] = []

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Asked) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        clip = tmp_path / "list.m3u8"
        clip.write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{server.server_port}/a.ts\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(InputError, match=r"list\.m3u8"):
            find_clips([clip])
        server.shutdown()
    assert asked == []


def test_truncated_video_is_refused(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mp4")
    clip.write_bytes(clip.read_bytes()[:500])
    with pytest.raises(InputError, match=r"a\.mp4"):
        find_clips([clip])


def test_video_cut_off_in_the_middle_is_used_with_a_note(tmp_path: Path) -> None:
    whole, cut = made(tmp_path / "a.avi", extra=",noise=alls=60"), tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    info = probe_clip(cut)
    assert 0 < info.frames < 20
    assert info.frames == len(read_clip(cut))
    assert info.note.startswith("decoded with errors: ")
    assert " @ 0x" not in info.note
    assert (probe_clip(whole).frames, probe_clip(whole).note) == (20, "")


def test_nothing_to_find_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    for name, reason in (("empty", "neither"), ("gone.mp4", "no file"), ("one.png", "single image")):
        with pytest.raises(InputError, match=reason):
            find_clips([tmp_path / name])
    with pytest.raises(InputError, match="No clips"):
        find_clips([])


def test_caption_lies_beside(tmp_path: Path) -> None:
    clip, folder = tmp_path / "a.b.mp4", frame_folder(tmp_path / "walk.v2", 1)
    assert caption_beside(clip) is None
    (tmp_path / "a.b.txt").write_text("\ufeff a person is playing \u00fcber \n", encoding="utf-8")
    (tmp_path / "walk.v2.txt").write_text("a dog walks")
    assert caption_beside(clip) == "a person is playing \u00fcber"
    assert caption_beside(folder) == "a dog walks"


@pytest.mark.parametrize(("content", "reason"), [(b" \n", "empty"), (b"\xff\xfe\x80", "UTF-8")])
def test_unusable_caption_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        caption_beside(tmp_path / "a.mp4")


@given(
    frames=st.integers(1, 40),
    fps=st.floats(1, 30),
    source_fps=st.floats(1, 120),
    available=st.integers(1, 400),
    data=st.data(),
)
def test_windows_are_evenly_spaced_inside_the_clip(
    frames: int, fps: float, source_fps: float, available: int, data: st.DataObject
) -> None:
    sampling = FrameSampling(frames, fps)
    windows, stride = sampling.windows(available, source_fps), sampling.stride(source_fps, available)
    start = data.draw(st.integers(0, windows - 1))
    indices = sampling.indices(start, available, source_fps)
    assert len(indices) == min(frames, available)
    assert indices[0] == start
    assert set(np.diff(indices)) <= {stride}
    assert sampling.indices(windows - 1, available, source_fps)[-1] == available - 1
    with pytest.raises(ValueError, match="outside"):
        sampling.indices(windows, available, source_fps)


@pytest.mark.parametrize(
    ("source_fps", "available", "stride", "windows"),
    [
        (25, 250, 3, 157),  # round(25 / 8)
        (24, 94, 3, 1),  # exactly fits
        (24, 93, 2, 31),  # one short: the widest stride that fits
        (25, 33, 1, 2),
        (25, 32, 1, 1),  # no more than 32 frames: stride 1
        (25, 9, 1, 1),
        (4, 250, 1, 219),  # slower than asked for
    ],
)
def test_strides_of_the_paper(source_fps: float, available: int, stride: int, windows: int) -> None:
    sampling = FrameSampling(32, 8)
    assert sampling.stride(source_fps, available) == stride
    assert sampling.windows(available, source_fps) == windows


def described(frames: int, fps: float, in_file: int, end: float | None = None) -> tuple[str, str]:
    info = ClipInfo(Path("a.mp4"), 64, 64, frames, fps, frames / fps, 1, "", in_file, 0.0, end)
    return FrameSampling(16, 8).describe(info)


def test_plan_says_what_is_used_and_dropped() -> None:
    assert described(250, 25, 250) == ("16 frames at 8.33 fps, 205 starts", "2 of 3 frames, down from 25 fps")
    assert described(16, 8, 16) == ("16 frames at 8 fps, 1 start", "nothing")
    assert described(9, 8, 9) == ("all 9 frames (16 asked for)", "nothing")
    assert described(9, 25, 50, 0.36) == (
        "all 9 frames (16 asked for); too short for 8 fps",
        "41 frames outside 0-0.36 s",
    )
    assert described(40, 25, 40) == (
        "16 frames at 12.5 fps, 10 starts; too short for 8 fps",
        "1 of 2 frames, down from 25 fps",
    )


@pytest.mark.skipif(not GUITAR.is_dir(), reason="the real clips are not here")
def test_real_clips() -> None:
    clips = find_clips([GUITAR])
    assert len(clips) == 5
    info = probe_clip(clips[0])
    assert (info.width, info.height, info.frames, info.fps, info.note) == (320, 240, 250, 25, "")
    assert read_clip(clips[0], end=1, size=(64, 64)).shape == (25, 64, 64, 3)

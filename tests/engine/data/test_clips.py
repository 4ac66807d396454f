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

from engine.data.clips import probe_clip, read_clip, stream_clip
from engine.data.finding import find_clips
from engine.data.images import fit
from engine.data.windows import FrameSampling
from engine.errors import InputError
from engine.media import decoding, ffmpeg
from engine.media.video import write_video

GUITAR = Path(__file__).parents[3] / "../shared/data/motions/playing-guitar"


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
    pixels = read_clip(probe_clip(clip))
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
    assert read_clip(probe_clip(turned)).shape == (20, 64, 48, 3)
    assert read_clip(probe_clip(turned), (24, 32)).shape == (20, 32, 24, 3)


def test_pixels_become_square(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mp4", extra=",setsar=2/1")
    info = probe_clip(clip)
    assert (info.width, info.height) == (128, 48)
    assert read_clip(probe_clip(clip)).shape[1:3] == (48, 128)


@pytest.mark.parametrize(("start", "end", "first", "last"), [(0.0, 0.2, 0, 4), (0.2, None, 5, 19), (0.1, 0.4, 3, 9)])
def test_trimming_takes_frames_from_start_to_before_end(
    tmp_path: Path, start: float, end: float | None, first: int, last: int
) -> None:
    clip = made(tmp_path / "a.mp4")
    assert numbers(read_clip(probe_clip(clip, start=start, end=end))) == list(range(first, last + 1))
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
        assert len(read_clip(probe_clip(folder, source_fps=10, start=start, end=start + length))) == counted


def test_range_without_frames_is_refused(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="no frame between 5 s and its end"):
        probe_clip(clip, start=5)
    with pytest.raises(InputError, match="can't end at 1 s"):
        probe_clip(clip, start=2, end=1)
    with pytest.raises(InputError, match="can't start at -1 s"):
        probe_clip(clip, start=-1)


@pytest.mark.parametrize("size", [(32, 32), (16, 40), (96, 96), (33, 17)])
def test_size_while_decoding_is_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = tmp_path / "a.mkv"
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc=s=120x80:r=10:d=0.5", "-c:v", "ffv1", "-pix_fmt", "gbrp", str(clip)])
    info = probe_clip(clip)
    decoded, fitted = read_clip(info, size), fit(read_clip(info), size)
    assert decoded.shape == (5, size[1], size[0], 3)
    assert (decoded == fitted).all()


def test_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "walk", 12)
    assert find_clips([folder]).used == (folder,)
    assert read_clip(probe_clip(folder))[:, 0, 0, 0].tolist() == list(range(12))
    assert read_clip(probe_clip(folder), (4, 4)).shape == (12, 4, 4, 3)
    told, assumed = probe_clip(folder, source_fps=24), probe_clip(folder)
    assert (told.frames, told.fps, told.duration, told.note) == (12, 24, 0.5, "")
    with pytest.raises(InputError, match="rate of 0 a second"):
        probe_clip(folder, source_fps=0)
    assert (assumed.fps, assumed.note) == (8, "frame rate not given, taken as 8 fps")


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "walk", 3)
    Image.new("RGB", (6, 6)).save(folder / "f3.png")
    with pytest.raises(InputError, match="one size"):
        probe_clip(folder)


def test_text_named_mp4_is_refused_in_our_words(tmp_path: Path) -> None:
    clip = tmp_path / "talk.mp4"
    clip.write_text("hello")
    for reads in (probe_clip, lambda path: find_clips([path])):
        with pytest.raises(InputError, match=r"talk\.mp4 is not a video that ffmpeg can decode: .*no video at all"):
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
    assert info.frames == len(read_clip(info))
    assert info.note.startswith("decoded with errors: ")
    assert " @ 0x" not in info.note
    assert (probe_clip(whole).frames, probe_clip(whole).note) == (20, "")


def varying(path: Path, *, first: int = 30, then: int = 10) -> Path:
    """`first` frames at 30 a second, then `then` of them at 2; frame n is an even grey, n above black."""
    time = f"if(lt(N,{first}),N/30,{first}/30+(N-{first})/2)"
    grey = f"nullsrc=s=64x48:r=30,geq=lum='16+N*2':cb=128:cr=128,setpts='{time}/TB'"
    coded = ["-fps_mode", "vfr", "-frames:v", str(first + then), "-c:v", "ffv1", "-pix_fmt", "yuv420p", "-y", str(path)]
    ffmpeg.run(["-f", "lavfi", "-i", grey, *coded])
    return path


def test_frames_of_a_variable_rate_are_taken_by_their_times(tmp_path: Path) -> None:
    info = probe_clip(varying(tmp_path / "a.mkv"))
    assert info.fps == pytest.approx(30, abs=0.1)
    assert info.duration == pytest.approx(1 + 10 / 2, abs=0.5)
    assert "frame rate varies (2 to 30" in info.note
    assert "40 frames" in info.note
    shown = np.array(info.order)
    assert shown[:30].tolist() == list(range(30))
    repeats = np.bincount(shown)[30:-1]
    assert np.abs(repeats - 15).max() <= 1
    lumas = read_clip(info).mean(axis=(1, 2, 3)) * 219 / 255
    assert np.abs(lumas / 2 - shown).max() < 0.6


def test_every_window_of_a_variable_rate_lasts_as_long_as_the_next(tmp_path: Path) -> None:
    path = varying(tmp_path / "a.mkv")
    info, sampling = probe_clip(path), FrameSampling(8, 8)
    times = np.array(decoding.timing(decoding.inspect(path)).times)
    for start in range(0, sampling.windows(info.frames, info.fps), 7):
        indices = sampling.indices(start, info.frames, info.fps)
        moments = times[np.array(info.order)[indices]]
        wanted = moments[0] + np.arange(8) / (info.fps / 4)
        assert np.abs(moments - wanted).max() <= 0.5 + 1e-6  # Half a second: the longest that a frame is shown.


def test_a_part_of_a_variable_rate_is_told_in_seconds(tmp_path: Path) -> None:
    info = probe_clip(varying(tmp_path / "a.mkv"), start=0.5, end=2)
    assert info.duration == pytest.approx(1.5, abs=0.05)
    assert info.order[0] == 15
    assert len(read_clip(info)) == info.frames


def test_times_that_only_jitter_take_every_frame_once(tmp_path: Path) -> None:
    jitter = "nullsrc=s=64x48:r=30,setpts='(N/30+0.004*mod(N,3))/TB'"
    path = tmp_path / "a.mkv"
    ffmpeg.run(["-f", "lavfi", "-i", jitter, "-fps_mode", "vfr", "-frames:v", "30", "-c:v", "ffv1", str(path)])
    info = probe_clip(path)
    assert (info.order, info.note) == (tuple(range(30)), "")


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_equal_neighbours_that_dv_stores_as_one_frame_come_back(tmp_path: Path, suffix: str) -> None:
    values = [0, 0, 0, 120, 240, 240, 240, 240]
    frames = np.stack([np.full((32, 32, 3), value, np.uint8) for value in values])
    write_video(frames, tmp_path / f"a.{suffix}", 10, {})
    info = probe_clip(tmp_path / f"a.{suffix}")
    assert (info.frames, info.fps) == (8, 10)
    assert np.abs(read_clip(info).mean(axis=(1, 2, 3)) - values).max() < 4


def test_missing_frame_numbers_are_said(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "walk", 12)
    for number in (3, 7, 8):
        (folder / f"f{number}.png").unlink()
    assert "no frame is numbered 3, 7 to 8" in probe_clip(folder, source_fps=8).note
    thinned = frame_folder(tmp_path / "thinned", 12)
    for number in range(12):
        if number % 3:
            (thinned / f"f{number}.png").unlink()
    assert probe_clip(thinned, source_fps=8).note == ""


def test_a_clip_can_be_read_frame_by_frame(tmp_path: Path) -> None:
    info = probe_clip(made(tmp_path / "a.mp4"))
    first = next(stream_clip(info, (16, 16)))
    assert first.shape == (16, 16, 3)


@pytest.mark.skipif(not GUITAR.is_dir(), reason="the real clips are not here")
def test_real_clips() -> None:
    clips = find_clips([GUITAR]).used
    assert len(clips) == 5
    info = probe_clip(clips[0])
    assert (info.width, info.height, info.frames, info.fps, info.note) == (320, 240, 250, 25, "")
    assert read_clip(probe_clip(clips[0], end=1), (64, 64)).shape == (25, 64, 64, 3)

"""Writing videos and contact sheets, and the notes inside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.data.clips import probe_clip, read_clip
from engine.errors import InputError, JobError
from engine.media import ffmpeg
from engine.media.metadata import read_metadata
from engine.media.sheets import contact_sheet, write_sheet
from engine.media.video import write_video

SUFFIXES = (".mp4", ".gif", ".webp", ".png")
NOTE = {"prompt": 'a "*" is = ; # \\ playing\nguitar \u732b', "seed": 3}


def ball(frames: int = 12, height: int = 64, width: int = 64) -> np.ndarray:
    """A red disc that moves over a smooth ground."""
    rows, columns = np.mgrid[:height, :width]
    ground = np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 90)], axis=-1)
    clip = np.repeat(ground[None], frames, axis=0).astype(np.uint8)
    for number, frame in enumerate(clip):
        frame[(rows - height / 2) ** 2 + (columns - 10 - 4 * number) ** 2 < 80] = (220, 30, 30)
    return clip


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_frames_give_the_same_bytes_and_the_note(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix.upper()}"
    write_video(ball(), first, 8, NOTE)
    write_video(ball(), second, 8, NOTE)
    assert first.read_bytes() == second.read_bytes()
    assert read_metadata(first) == NOTE
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name])


@pytest.mark.parametrize(("suffix", "loss"), [(".mp4", 4), (".gif", 8), (".webp", 4)])
@pytest.mark.parametrize("fps", [8, 12.5])
def test_video_shows_its_frames_at_its_rate(tmp_path: Path, suffix: str, loss: float, fps: float) -> None:
    frames, path = ball(), tmp_path / f"a{suffix}"
    write_video(frames, path, fps, {})
    info = probe_clip(path)
    assert (info.frames, info.width, info.height) == (12, 64, 64)
    assert info.fps == pytest.approx(fps, rel=0.02)
    assert np.abs(read_clip(probe_clip(path)).astype(int) - frames).mean() < loss


def test_mp4_plays_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(ball(), path, 8, NOTE)
    shown = subprocess.run([ffmpeg.executable(), "-i", str(path)], capture_output=True, text=True, check=False)
    assert "h264 (High)" in shown.stderr
    assert "yuv420p(tv" in shown.stderr
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert b"x264 - core" not in content
    assert b"Lavf" not in content


def test_odd_sizes_are_padded_with_their_own_edge(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = np.full((3, 33, 47, 3), 200, np.uint8)
    write_video(frames, path, 8, {})
    pixels = read_clip(probe_clip(path))
    assert pixels.shape == (3, 34, 48, 3)
    assert np.abs(pixels.astype(int) - 200).max() < 4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_frame_is_a_video_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(ball(1), path, 8, NOTE)
    assert read_metadata(path) == NOTE


def test_gif_and_webp_keep_the_whole_duration(tmp_path: Path) -> None:
    for suffix in (".gif", ".webp"):
        path = tmp_path / f"a{suffix}"
        write_video(ball(16), path, 8, {})
        total = 0
        with Image.open(path) as image:
            for number in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(number)
                image.load()
                total += image.info["duration"]
        assert total == 2000


TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["\n", "=;#\\", "\x00", '"', "\r\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=15, deadline=None)
@given(note=st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_note_comes_back(tmp_path_factory: pytest.TempPathFactory, suffix: str, note: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / f"note{suffix}"
    write_video(ball(2, 16, 16), path, 8, note)
    assert read_metadata(path) == note


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_very_long_note_comes_back(tmp_path: Path, suffix: str) -> None:
    note = {"prompt": "wide = open; " * 20_000}
    write_video(ball(2, 16, 16), tmp_path / f"a{suffix}", 8, note)
    assert read_metadata(tmp_path / f"a{suffix}") == note


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_media_of_others_are_not_ours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"other{suffix}"
    if suffix == ".mp4":
        ffmpeg.run(["-f", "lavfi", "-i", "testsrc=d=0.2", "-metadata", "comment=[1]", str(path)])
    else:
        Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(InputError, match="was not made by dv"):
        read_metadata(path)


def test_what_is_no_media_file_was_not_made_by_dv(tmp_path: Path) -> None:
    for name, content in (
        ("a.mp4", b"hello"),
        ("b.gif", b""),
        ("c.mp4", b"\0\0\0\x18ftypisom\0\0"),
        ("d", b"GIF89a"),
        # One that says it has 65,535 x 65,535 pixels.
        ("e.gif", b"GIF89a" + 4 * b"\xff" + 3 * b"\0" + b"," + 4 * b"\0" + 4 * b"\xff" + b"\0\x08"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} was not made by dv"):
            read_metadata(tmp_path / name)
    with pytest.raises(InputError, match="no file"):
        read_metadata(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="can't be read"):
        read_metadata(tmp_path)


def test_paths_that_can_not_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.mp4, \.gif, \.webp, \.png"):
        write_video(ball(), tmp_path / "a.avi", 8, {})
    with pytest.raises(InputError, match="no folder"):
        write_video(ball(), tmp_path / "nowhere/a.mp4", 8, {})
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_video(ball(), tmp_path / "folder.mp4", 8, {})
    with pytest.raises(InputError, match="above 0"):
        write_video(ball(), tmp_path / "a.mp4", 0, {})
    with pytest.raises(InputError, match="50 frames a second"):
        write_video(ball(), tmp_path / "a.gif", 60, {})
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from engine.errors import JobError
from engine.media.video import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
try:
    write_video(noise, Path(sys.argv[1]), 8, {})
except JobError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_is_a_failed_job_and_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"a{suffix} can't be written" in done.stdout
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


def test_failing_encoder_is_a_failed_job(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="can't be written"):
        write_video(np.zeros((1, 2, 40_000, 3), np.uint8), tmp_path / "a.mp4", 8, {})
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_shape_are_a_bug(tmp_path: Path) -> None:
    wrong: list[Any] = [np.zeros((0, 8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3))]
    for frames in wrong:
        with pytest.raises(ValueError, match="frames must be"):
            write_video(frames, tmp_path / "a.mp4", 8, {})


def test_sheet_enlarges_small_frames_crisply_and_spreads_long_rows() -> None:
    frames = [np.full((4, 4, 3), number, np.uint8) for number in range(9)]
    sheet = np.array(contact_sheet([("greys", frames)], cell=32, columns=3))
    squares = [number for number in range(9) if (sheet == number).all(axis=-1).sum() == 32 * 32]
    assert squares == [0, 4, 8]


def test_sheet_reduces_large_frames_at_their_aspect() -> None:
    wide = np.full((100, 200, 3), (0, 200, 0), np.uint8)
    sheet = np.array(contact_sheet([("wide", [wide])], cell=64))
    assert (sheet == (0, 200, 0)).all(axis=-1).sum() == 64 * 32


def test_sheet_has_a_label_over_each_row(tmp_path: Path) -> None:
    frame = np.full((32, 32, 3), 250, np.uint8)
    rows = [("references", [frame] * 2), ("bare base", [frame]), ("", [])]
    blank = np.array(contact_sheet([("", row) for _, row in rows]))
    labelled = np.array(contact_sheet(rows))
    assert blank.shape == labelled.shape
    changed = (blank != labelled).any(axis=(1, 2))
    assert len(np.flatnonzero(np.diff(changed.astype(int)) == 1)) >= 2
    longer = contact_sheet([("a very long label " * 40, [frame])])
    assert longer.size == contact_sheet([("", [frame])]).size


def test_sheet_is_written_with_its_note(tmp_path: Path) -> None:
    sheet = contact_sheet([("one", [np.zeros((8, 8, 3), np.uint8)])])
    write_sheet(sheet, tmp_path / "sheet.png", NOTE)
    assert read_metadata(tmp_path / "sheet.png") == NOTE
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == sheet.size
    with pytest.raises(InputError, match=r"\.png"):
        write_sheet(sheet, tmp_path / "sheet.gif", NOTE)

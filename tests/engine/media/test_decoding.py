"""Colours, transparency and damage of videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.data.clips import holds_video, probe_clip, read_clip
from engine.errors import InputError
from engine.media import decoding, ffmpeg

# HDR's white of reference, 203 cd/m2, and a grey whose SDR value is 128: 10-bit luma by ITU-R BT.2100.
_PQ = {"transfer": "smpte2084", "white": 573, "grey": 422}
_HLG = {"transfer": "arib-std-b67", "white": 721, "grey": 400}


def hdr(path: Path, luma: int, transfer: str, *, tagged: bool = True) -> Path:
    """A clip of one grey in 10 bit, as phones record it."""
    even = f"nullsrc=s=64x64:r=10:d=0.3,format=yuv420p10le,geq=lum={luma}:cb=512:cr=512"
    colours = ["-color_primaries", "bt2020", "-colorspace", "bt2020nc"] if tagged else []
    tags = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc" if tagged else f"transfer={transfer}"
    coded = ["-c:v", "libx265", "-x265-params", f"log-level=none:{tags}", "-color_trc", transfer, *colours, str(path)]
    ffmpeg.run(["-f", "lavfi", "-i", even, *coded])
    return path


def shown(path: Path) -> np.ndarray:
    """The mean colour of a clip."""
    mean: np.ndarray = read_clip(probe_clip(path)).mean(axis=(0, 1, 2))
    return mean


@pytest.mark.parametrize("kind", [_PQ, _HLG], ids=["PQ", "HLG"])
@pytest.mark.parametrize("tagged", [True, False])
def test_white_in_hdr_is_white(tmp_path: Path, kind: dict[str, object], tagged: bool) -> None:
    white = hdr(tmp_path / "white.mp4", int(str(kind["white"])), str(kind["transfer"]), tagged=tagged)
    assert shown(white).min() > 240


def test_grey_in_hdr_is_the_grey_of_sdr(tmp_path: Path) -> None:
    clip = hdr(tmp_path / "a.mp4", 422, "smpte2084")
    assert np.abs(shown(clip) - 128).max() < 10
    assert probe_clip(clip).note == "HDR (PQ) turned into SDR"


def test_brighter_than_white_in_hdr_stays_apart_from_it(tmp_path: Path) -> None:
    white, lamp = hdr(tmp_path / "white.mp4", 573, "smpte2084"), hdr(tmp_path / "lamp.mp4", 750, "smpte2084")
    assert shown(lamp).min() > shown(white).max()


def test_hdr_that_can_not_be_turned_into_sdr_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = hdr(tmp_path / "a.mp4", 573, "smpte2084")
    monkeypatch.setattr(decoding, "_can_tone_map", lambda: False)
    with pytest.raises(InputError, match=r"a\.mp4 is in HDR \(PQ\).*Convert it to SDR"):
        probe_clip(clip)


@pytest.mark.parametrize(
    ("name", "coder"),
    [
        ("a.webm", ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-lossless", "1"]),
        ("b.webm", ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "2M"]),
        ("a.mov", ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"]),
        ("a.mov", ["-c:v", "qtrle", "-pix_fmt", "argb"]),
        ("a.png", ["-c:v", "apng", "-f", "apng", "-pix_fmt", "rgba"]),
        ("a.webp", ["-c:v", "libwebp_anim", "-lossless", "1", "-pix_fmt", "bgra"]),
    ],
)
def test_hidden_colours_become_white(tmp_path: Path, name: str, coder: list[str]) -> None:
    half = "color=red:s=64x64:r=10:d=0.3,format=rgba,geq=r='255-40*N':g=0:b=0:a='255*gt(X,31)'"
    ffmpeg.run(["-f", "lavfi", "-i", half, *coder, str(tmp_path / name)])
    pixels = read_clip(probe_clip(tmp_path / name)).astype(int)
    assert pixels.shape == (3, 64, 64, 3)
    assert pixels[:, :, :24].min() > 245
    assert np.abs(pixels[0, :, 40:].mean(axis=(0, 1)) - [255, 0, 0]).max() < 12


def test_a_sequence_of_avif_is_a_clip(tmp_path: Path) -> None:
    source = "testsrc=s=64x64:r=8:d=0.5"
    ffmpeg.run(["-f", "lavfi", "-i", source, "-c:v", "libaom-av1", "-cpu-used", "8", str(tmp_path / "a.avif")])
    info = probe_clip(tmp_path / "a.avif")
    assert (info.frames, info.fps) == (4, 8)
    assert len(read_clip(info)) == 4


def test_a_file_of_sound_holds_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    ffmpeg.run(["-f", "lavfi", "-i", "sine=d=0.2", str(path)])
    assert not holds_video(path)
    with pytest.raises(InputError, match=r"song\.mp4 .*: it holds no video"):
        probe_clip(path)


def test_a_song_with_a_cover_holds_no_video(tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "song.m4a"
    ffmpeg.run(["-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(cover)])
    both = ["-f", "lavfi", "-i", "sine=d=0.2", "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy"]
    ffmpeg.run([*both, "-disposition:v:0", "attached_pic", str(path)])
    assert not holds_video(path)


def test_a_recording_that_was_cut_off_is_said_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=1", str(path)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="its index is missing"):
        probe_clip(path)

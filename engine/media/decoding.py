"""Decoding videos: what a file holds, when its frames are shown, and the frames themselves in SDR colours on white."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import InputError
from engine.media import ffmpeg

# Pixels that are not square (DV, DVD) are made so; where they are square this scales nothing.
_SQUARE_PIXELS = "scale=w='max(1,round(iw*sar))':h=ih:flags=bicubic,setsar=1"
_HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
# HDR's white of reference (203 cd/m2, ITU-R BT.2408) becomes white; brighter highlights share the last tenth.
_REFERENCE_WHITE, _LINEAR_UP_TO = 203, 0.9
_WITH_ALPHA = re.compile(r"yuva|gbrap|ya(8|16)|rgba|bgra|argb|abgr|ayuv|vuya|pal8")
# ffmpeg's own decoders of these leave the alpha plane out.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class NoVideoError(ffmpeg.FfmpegError):
    """The file can be opened and holds no video, as a sound file."""


@dataclass(frozen=True)
class VideoFile:
    """A file with a video in it: which stream is read, by which decoder ("" for ffmpeg's own), and its colours."""

    path: Path
    stream: str
    decoder: str
    alpha: bool
    transfer: str
    untagged: bool

    def arguments(self) -> list[str]:
        """ffmpeg's arguments that open the file."""
        return [*(["-c:v", self.decoder] if self.decoder else []), *ffmpeg.source(self.path)]

    def changes(self) -> list[str]:
        """What is done to the colours that a person should know."""
        return [f"HDR ({_HDR[self.transfer]}) turned into SDR"] if self.transfer in _HDR else []


@dataclass(frozen=True)
class Timing:
    """The frames of a video as they decode: upright size, the time of each in seconds, from 0 on.

    `last` is how long the last frame is shown, 0 where the file doesn't tell. `complaint` is ffmpeg's last line
    when it decoded the file with errors, else "".
    """

    width: int
    height: int
    times: tuple[float, ...]
    last: float
    complaint: str


def inspect(path: Path) -> VideoFile:
    """Decode the first frame of a file. Raises NoVideoError, FfmpegError, and InputError for HDR that stays HDR."""
    shown = ["-map", "0:V", "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"]
    told = ffmpeg.messages([*ffmpeg.source(path), *shown])
    listed = told.partition("Stream mapping")[0]
    streams = re.findall(r"^  Stream #0:\d+.*?: Video: (\w+)(?!.*attached pic)", listed, re.MULTILINE)
    if not streams and "Stream #0:" in told:
        raise NoVideoError("it holds no video")
    found = re.search(r" fmt:(\w+) ", told)
    if not streams or found is None:
        raise ffmpeg.FfmpegError(told)
    codec = streams[0]
    alpha_apart = bool(re.search(r"alpha_mode\s*: 1", told)) and codec in _ALPHA_DECODERS
    transfer, primaries, matrix = (_colour(told, name) for name in ("trc", "primaries", "space"))
    # The first stream of an AVIF sequence is its cover, a single picture.
    sequence = bool(re.search(r"major_brand\s*: avis", told)) and len(streams) > 1
    if transfer in _HDR and not _can_tone_map():
        raise InputError(
            f"{path} is in HDR ({_HDR[transfer]}), which this ffmpeg can't turn into SDR. Convert it to SDR (BT.709) "
            "first, as phones and HandBrake do on export, or install a newer imageio-ffmpeg."
        )
    return VideoFile(
        path,
        stream="0:V:1" if sequence else "0:V:0",
        decoder=_ALPHA_DECODERS[codec] if alpha_apart else "",
        alpha=alpha_apart or bool(_WITH_ALPHA.match(found[1])),
        transfer=transfer,
        untagged="unknown" in (primaries, matrix),
    )


def _colour(told: str, name: str) -> str:
    found = re.search(rf"color_{name}:(\S+)", told)
    return found[1] if found else ""


@cache
def _can_tone_map() -> bool:
    listed, _ = ffmpeg.run(["-filters"])
    return all(re.search(rf" {name} ", listed.decode()) for name in ("zscale", "tonemap"))


def timing(video: VideoFile) -> Timing:
    """Decode a video in full without keeping the pixels: what really decodes, not what the container claims.

    Raises FfmpegError.
    """
    chain = f"{_SQUARE_PIXELS},setpts=PTS-STARTPTS"
    shown = ["-fps_mode", "passthrough", "-enc_time_base", "filter", "-f", "framecrc", "-"]
    output, complaint = ffmpeg.run([*video.arguments(), "-map", video.stream, "-vf", chain, *shown])
    width = height = 0
    seconds_a_tick = last = 0.0
    times: list[float] = []
    for line in output.decode().splitlines():
        if line.startswith("#tb 0:"):
            over, under = line.split(":")[1].split("/")
            seconds_a_tick = int(over) / int(under)
        elif line.startswith("#dimensions 0:"):
            width, height = (int(side) for side in line.split(":")[1].split("x"))
        elif not line.startswith("#"):
            _, _, moment, duration, *_ = line.split(",")
            times.append(int(moment) * seconds_a_tick)
            last = max(0.0, int(duration) * seconds_a_tick)
    if not times:
        raise ffmpeg.FfmpegError(complaint or "it holds no frame")
    return Timing(width, height, tuple(times), last, complaint)


def frames_between(video: VideoFile, first: int, last: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames (H, W, 3) from number `first` to number `last`, one by one, upright, in SDR, on white.

    Raises FfmpegError.
    """
    chain = [f"select='between(n,{first},{last})'", _SQUARE_PIXELS]
    if video.transfer in _HDR:
        chain += _tone_mapping(video)
    pixel_format = "rgba" if video.alpha else "rgb24"
    picture = ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "pam", "-pix_fmt", pixel_format, "-"]
    chain.append(f"format={pixel_format}")
    arguments = [*video.arguments(), "-map", video.stream, "-vf", ",".join(chain)]
    for pixels in _piped([*arguments, "-frames:v", str(last - first + 1), *picture]):
        yield _on_white(pixels) if video.alpha else pixels


def _tone_mapping(video: VideoFile) -> list[str]:
    tags = ["setparams=color_primaries=bt2020:colorspace=bt2020nc"] if video.untagged else []
    return [
        *tags,
        f"zscale=t=linear:npl={_REFERENCE_WHITE}",
        "format=gbrpf32le",
        "zscale=p=bt709",
        f"tonemap=mobius:param={_LINEAR_UP_TO}:desat=0",
        "zscale=t=bt709:r=pc",
    ]


def _on_white(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _piped(arguments: list[str]) -> Iterator[npt.NDArray[np.uint8]]:
    """The pictures (H, W, C) that ffmpeg writes to a pipe, each under a header of its own."""
    # Complaints go to a file: a full pipe that nobody reads would stop ffmpeg.
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            ffmpeg.command(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        )
        assert process.stdout is not None
        try:
            while process.stdout.readline() == b"P7\n":
                header = dict(line.split(None, 1) for line in iter(process.stdout.readline, b"ENDHDR\n") if line)
                shape = tuple(int(header[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH"))
                pixels = process.stdout.read(int(np.prod(shape)))
                if len(pixels) < np.prod(shape):
                    break
                yield np.frombuffer(pixels, np.uint8).reshape(shape)
            process.stdout.close()
            if process.wait() != 0:
                complaints.seek(0)
                raise ffmpeg.FfmpegError(complaints.read().decode("utf-8", "replace"))
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()

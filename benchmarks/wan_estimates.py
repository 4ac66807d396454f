"""What docs/wan.md says its commands take on a GPU, from the estimate, without one: memory is counted, and time follows
from how fast the GPU multiplies matrices, which is given.

    python -m benchmarks.full_size --model wan --work /tmp/full-size-wan ...
    python -m benchmarks.wan_estimates --base /tmp/full-size-wan/base --teraflops 150

The text encoder in the base may have any number of layers: UMT5-xxl's 24 are counted.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import UMT5Config, UMT5EncoderModel

from benchmarks.full_size import write_sources
from benchmarks.wan_base import TEXT
from engine import estimating
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.estimating import composing_seconds, estimate
from engine.memory import BaseWeights, PartWeights, base_weights
from engine.methods.dreamvideo import ComposeConfig
from engine.planning import MotionPlan, SubjectPlan, plan_motion, plan_subject
from engine.settings import resolve

_FRAMES, _RATE = 66, 16.0
"""Frames of each of two clips, and their rate."""


def with_text(layers: int, *arguments: Any) -> BaseWeights:
    """The base's weights, with a text encoder of so many layers; of none where prompts were encoded before."""
    found, text = base_weights(*arguments), 0
    if layers:
        with torch.device("meta"):
            text = UMT5EncoderModel(UMT5Config(**TEXT, num_layers=layers)).num_parameters()
    return replace(found, parts={**found.parts, "text_encoder": PartWeights(2 * text)})


def plans(info: BaseInfo, sources: Path) -> dict[str, SubjectPlan | MotionPlan]:
    """The documented commands' plans: four photographs of 512 x 512, two clips."""
    pictures = sorted(sources.glob("*.png"))
    clips = [sources / "one", sources / "two"]
    return {
        "subject": plan_subject(pictures, "dog", info=info, options={}),
        "motion": plan_motion(clips, "a person is playing guitar", info=info, source_fps=_RATE, options={}),
    }


def main() -> None:
    """Print a line for each command, learning with and without what saves memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--teraflops", type=float, required=True, help="of the GPU's bf16 matrix products, a second")
    options = parser.parse_args()
    location = BaseLocation("wan", str(options.base))
    info = inspect_base(location)
    with (
        tempfile.TemporaryDirectory() as place,
        patch.object(estimating, "matrix_rate", lambda *_: options.teraflops * 1e12),
        patch("engine.bases.load.choose_device", lambda _: torch.device("cuda")),
    ):
        write_sources(Path(place) / "sources", _FRAMES)
        for what, plan in plans(info, Path(place) / "sources").items():
            for dtype, offload in (("bf16", False), ("fp8", False), ("bf16", True)):
                peaks = []
                for layers in (24, 0):
                    with patch.object(estimating, "base_weights", partial(with_text, layers)):
                        told = estimate(plan, location, device="cuda", dtype=dtype, offload=offload)
                    peaks.append(f"{told.peak_bytes / 2**30:.1f} GiB")
                print(f"{what}, {dtype}{', offloaded' if offload else ''}: {told.seconds / 3600:.1f} h, {peaks[0]}, "
                      f"{peaks[1]} where the prompts were encoded before")  # fmt: skip
        config = resolve(ComposeConfig(), info.recommended["compose"], {}).config
        seconds = composing_seconds(config, location, device="cuda", dtype="bf16")
        print(f"compose {config.size}, {config.frames} frames, {config.steps} steps: {seconds / 60:.1f} min")


if __name__ == "__main__":
    main()

"""The whole path at full size: two learning steps of each kind and a two-step composition, on a CPU or a GPU.

Writes a base of ModelScope's or Wan 2.1's exact configuration with random weights (it makes noise, but it weighs the
same), then runs `dv` on it as a person would and reports time, dtype and peak memory of each command: of the
process, or on a GPU what CUDA's allocator held; and what the plan of a learning command says it will be.

    python -m benchmarks.full_size --work /tmp/full-size --out docs/full-size.json
    python -m benchmarks.full_size --model wan --work /tmp/full-size-wan --dtype bf16 --frames 17

The paper's sizes on a GPU of 80 GB:

    python -m benchmarks.full_size --work /tmp/full-size --device cuda --dtype bf16 --frames 32 --batch-size 4 \\
        --no-gradient-checkpointing --more-steps 10 --limit-gib 78 --out docs/full-size-gpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.wan_base import write_wan
from engine.pretraining import tokenizer


def write_base(folder: Path, divisor: int = 1) -> None:
    """ModelScope's configuration (ali-vilab/text-to-video-ms-1.7b), random, in bfloat16; its widths divided by
    `divisor`."""
    text_width = 1024 // divisor
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    UNet3DConditionModel(
        sample_size=32, in_channels=4, out_channels=4, layers_per_block=2, attention_head_dim=64,
        block_out_channels=tuple(width // divisor for width in (320, 640, 1280, 1280)), cross_attention_dim=text_width,
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(
        block_out_channels=tuple(width // divisor for width in (128, 256, 512, 512)), layers_per_block=2,
        latent_channels=4, sample_size=512, scaling_factor=0.18215,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")  # fmt: skip
    words = tokenizer.build(merges=200, max_tokens=77)
    words.save_pretrained(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=text_width, intermediate_size=4 * text_width, num_hidden_layers=23,
        num_attention_heads=16 // divisor, max_position_embeddings=77, hidden_act="gelu", projection_dim=text_width,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    torch.set_default_dtype(torch.float32)
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip


def write_vision(folder: Path, divisor: int = 1) -> None:
    """OpenCLIP ViT-H/14, the image encoder of appearance guidance, random, in bfloat16; its widths divided."""
    width = 1280 // divisor
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    vision = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=32, num_attention_heads=16 // divisor,
        image_size=224, patch_size=14, projection_dim=1024, hidden_act="gelu",
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "image_encoder")
    torch.set_default_dtype(torch.float32)


def write_sources(folder: Path, frames: int) -> None:
    """Four pictures of 512 x 512 and two clips, as folders of frames: coloured noise, smoothed."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)

    def picture(path: Path, size: tuple[int, int]) -> None:
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize(size).save(path)

    for i in range(4):
        picture(folder / f"{i}.png", (512, 512))
    for clip in ("one", "two"):
        (folder / clip).mkdir(exist_ok=True)
        for i in range(frames):
            picture(folder / clip / f"{i:03}.png", (320, 256))


# Runs `dv` with the arguments that follow, then writes the most memory that CUDA's allocator held.
_WATCHED = """
import atexit, os, torch
atexit.register(lambda: open(os.environ["PEAK"], "w").write(str(torch.cuda.max_memory_reserved())))
import runpy
runpy.run_module("dreamvideo_cli", run_name="__main__", alter_sys=True)
"""


def run(command: list[str], environment: dict[str, str], peak: Path | None) -> tuple[float, float]:
    """Run `dv` with `command`; its wall time in seconds and its peak memory in GiB: of the process, or of the GPU
    where `peak` names a file to note that in."""
    start = ["-c", _WATCHED] if peak is not None else ["-m", "dreamvideo_cli"]
    began = time.perf_counter()
    pid = subprocess.Popen([sys.executable, *start, *command], env={**environment, "PEAK": str(peak)}).pid
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        raise SystemExit(f"dv {' '.join(command)} failed with exit code {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 2**20 if peak is None else int(peak.read_text()) / 2**30


def predicted(command: list[str], environment: dict[str, str]) -> float:
    """The peak memory in GiB that the plan of a learning command foretells."""
    asked = [sys.executable, "-m", "dreamvideo_cli", *command, "--dry-run", "--json"]
    told = subprocess.run(asked, env=environment, check=True, capture_output=True, text=True).stdout
    return round(int(json.loads(told)["expected_peak_bytes"]) / 2**30, 2)


def main() -> None:
    """Write the base once, run the commands, write the rows."""
    options = _options()
    work: Path = options.work
    base, sources = work / "base", work / "sources"
    torch.set_default_device(options.device)
    if not (base / "scheduler").exists():
        write_vision(base)
        if options.model == "wan":
            write_wan(base, options.text_layers)
        else:
            write_base(base)
    torch.set_default_device("cpu")
    for part in base.rglob("*.safetensors"):
        part.read_bytes()  # so that the first command pays for no cold disk
    write_sources(sources, options.frames)
    home = {**os.environ, "DV_HOME": str(work / "home")}
    peak = work / "peak" if options.device == "cuda" else None
    common = ["--base", str(base), "--dtype", options.dtype, "--device", options.device, "--quiet"]
    learning = [*common, "--size", "256x256", "--restart"]
    if options.gradient_checkpointing:
        learning.append("--gradient-checkpointing")
    images, clips = [str(p) for p in sorted(sources.glob("*.png"))], [str(sources / "one"), str(sources / "two")]
    frames, batch = str(options.frames), options.batch_size

    def subject(steps: int) -> list[str]:
        return ["subject", "learn", "thing", *images, "--class", "dog", "--token-steps", "2", "--adapter-steps",
                str(steps), "--batch-size", str(batch), *learning]  # fmt: skip

    def motion(steps: int) -> list[str]:
        return ["motion", "learn", "moving", *clips, "--prompt", "a dog moving", "--steps", str(steps), "--frames",
                frames, "--batch-size", str(max(1, batch // 2)), *learning]  # fmt: skip

    def compose(steps: int) -> list[str]:
        return ["compose", "a * moving", "--subject", "thing", "--motion", "moving", "--steps", str(steps),
                "--frames", frames, "--size", "256x256", "-o", str(work / "out.webp"), "--force", *common]  # fmt: skip

    rows: list[dict[str, Any]] = []
    for what, command in (
        (f"subject: 2 steps of the token, 2 of the adapter, 256 x 256, batch {batch}", subject),
        (f"motion: 2 steps, 256 x 256, {frames} frames, batch {max(1, batch // 2)}", motion),
        (f"compose: 2 steps, 256 x 256, {frames} frames", compose),
    ):
        seconds, memory = run(command(2), home, peak)
        row: dict[str, Any] = {"what": what, "seconds": round(seconds, 1), "peak_gib": round(memory, 2)}
        if command is not compose:
            row["predicted_gib"] = predicted(command(2), home)
            row["peak_over_predicted"] = round(memory / row["predicted_gib"], 3)
        if options.more_steps:
            longer, _ = run(command(2 + options.more_steps), home, peak)
            row["seconds_a_step"] = round((longer - seconds) / options.more_steps, 3)
        print(json.dumps(row), flush=True)
        rows.append(row)
        if options.out is not None:
            report = {
                "device": torch.cuda.get_device_name() if peak is not None else "cpu",
                "dtype": options.dtype,
                "gradient_checkpointing": options.gradient_checkpointing,
                "threads": torch.get_num_threads(),
                "limit_gib": options.limit_gib,
                "rows": rows,
            }
            options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    worst = max(row["peak_gib"] for row in rows)
    apart = max(abs(row.get("peak_over_predicted", 1) - 1) for row in rows)
    print(f"peak {worst} GiB of {options.limit_gib}, predictions within {apart:.0%}; this script itself: "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")  # fmt: skip
    raise SystemExit(worst > options.limit_gib or apart > options.tolerance)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder with 6 GB of room; kept for a next run")
    parser.add_argument("--model", default="modelscope", choices=["modelscope", "wan"])
    parser.add_argument("--text-layers", type=int, default=24, help="of Wan's text encoder; fewer need less disk")
    parser.add_argument("--out", type=Path, help="where to write the rows as JSON")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16", "fp16", "fp8"])
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip and of the video (the paper's: 32)")
    parser.add_argument("--batch-size", type=int, default=1, help="pictures a step; clips a step are half as many")
    parser.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--more-steps", type=int, default=0, metavar="N",
        help="run each command again with N steps more, and report the difference as seconds a step",
    )  # fmt: skip
    parser.add_argument("--limit-gib", type=float, default=20.0, help="exit with 1 if more memory was needed")
    parser.add_argument(
        "--tolerance", type=float, default=0.1, help="exit with 1 if a peak and its prediction are further apart"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

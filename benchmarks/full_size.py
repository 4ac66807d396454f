"""The whole path at full size: two learning steps of each kind and a two-step composition on a CPU.

Writes a base of ModelScope's exact configuration with random weights (it makes noise, but it weighs the
same), then runs `dv` on it as a person would and reports time, dtype and peak memory of each command.

    python benchmarks/full_size.py --work /tmp/full-size --out docs/full-size.json
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

from engine.media.video import write_video
from engine.pretraining import tokenizer

LIMIT_GIB = 20


def write_base(folder: Path) -> None:
    """ModelScope's configuration (ali-vilab/text-to-video-ms-1.7b) and OpenCLIP ViT-H/14, random, in bfloat16."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    UNet3DConditionModel(
        sample_size=32, in_channels=4, out_channels=4, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
        attention_head_dim=64, cross_attention_dim=1024,
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")  # fmt: skip
    words = tokenizer.build([], merges=200, max_tokens=77)
    words.save_pretrained(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16,
        max_position_embeddings=77, hidden_act="gelu", projection_dim=1024,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    vision = CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, image_size=224,
        patch_size=14, projection_dim=1024, hidden_act="gelu",
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "image_encoder")
    torch.set_default_dtype(torch.float32)
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip


def write_sources(folder: Path) -> None:
    """Four pictures of 512 x 512 and two clips of 12 frames: coloured noise, smoothed."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(4):
        small = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((512, 512)).save(folder / f"{i}.png")
    for i in range(2):
        small = rng.integers(0, 255, (12, 16, 16, 3), dtype=np.uint8)
        frames = np.stack([np.asarray(Image.fromarray(f).resize((320, 256))) for f in small])
        write_video(frames, folder / f"{i}.mp4", 8, {})


def measure(name: str, command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run `dv` with `command`; its wall time, and the peak memory of the process."""
    began = time.perf_counter()
    pid = subprocess.Popen([sys.executable, "-m", "dreamvideo_cli", *command], env=environment).pid
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        raise SystemExit(f"dv {' '.join(command)} failed with exit code {os.waitstatus_to_exitcode(status)}")
    row = {"what": name, "seconds": round(seconds, 1), "peak_gib": round(usage.ru_maxrss / 2**20, 2)}
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Write the base once, run the four commands, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder with 6 GB of room; kept for a next run")
    parser.add_argument("--out", type=Path, help="where to write the rows as JSON")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16", "fp16"])
    options = parser.parse_args()
    work: Path = options.work
    base, sources = work / "base", work / "sources"
    if not (base / "scheduler").exists():
        write_base(base)
    write_sources(sources)
    home = {**os.environ, "DV_HOME": str(work / "home")}
    common = ["--base", str(base), "--dtype", options.dtype, "--device", "cpu", "--quiet"]
    learning = [*common, "--size", "256x256", "--gradient-checkpointing", "--restart"]
    images, clips = [str(p) for p in sorted(sources.glob("*.png"))], [str(p) for p in sorted(sources.glob("*.mp4"))]
    rows = [
        measure(
            "subject: 2 + 2 steps, 256 x 256, batch 1",
            ["subject", "learn", "thing", *images, "--class", "dog", "--token-steps", "2", "--adapter-steps", "2",
             "--batch-size", "1",
             *learning],
            home,
        ),
        measure(
            "motion: 2 steps, 256 x 256, 8 frames, batch 1",
            ["motion", "learn", "moving", *clips, "--prompt", "a dog moving", "--steps", "2", "--frames", "8",
             "--batch-size", "1", *learning],
            home,
        ),
        measure(
            "compose: 2 steps, 256 x 256, 8 frames",
            ["compose", "a * moving", "--subject", "thing", "--motion", "moving", "--steps", "2", "--frames", "8",
             "--size", "256x256", "-o", str(work / "out.mp4"), "--force", *common],
            home,
        ),
    ]  # fmt: skip
    report = {"dtype": options.dtype, "threads": torch.get_num_threads(), "limit_gib": LIMIT_GIB, "rows": rows}
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    worst = max(row["peak_gib"] for row in rows)
    print(f"peak {worst} GiB of {LIMIT_GIB}; this script itself: "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")  # fmt: skip
    raise SystemExit(worst > LIMIT_GIB)


if __name__ == "__main__":
    main()

"""Train the embedded base, stage by stage: resumable, skips what is finished, writes the shipped folder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection
from pathlib import Path

import torch
from accelerate import Accelerator
from platformdirs import user_cache_path

from engine.bases.load import choose_device, is_emulated
from engine.pretraining import autoencoder, denoiser, pools, self_supervised, text_image, tokenizer
from engine.pretraining.export import export
from engine.pretraining.settings import PRESETS, STAGES, Recipe, with_steps
from engine.pretraining.stage import OutOfTime, Run, weights_file
from engine.pretraining.starting import start_from


def main() -> None:
    """Parse the options and run what is not finished yet."""
    options = _options()
    recipe = with_steps(PRESETS[options.preset], dict(options.steps))
    work: Path = options.work
    if options.start_from is not None:
        start_from(options.start_from, work)
    if not options.export_only:
        deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        try:
            pretrain(recipe, Run(work, _accelerator(), deadline), options.out, options.only or STAGES)
        except OutOfTime:
            print(f"the time is up: repeat the command to go on from {work}", flush=True)
    if weights_file(work, "images") is None and weights_file(work, "clips") is None:
        print(f"{work}: the denoiser is not begun yet, so no base is written", flush=True)
        return
    size = export(recipe, work, options.out)
    print(f"{options.out}: {size / 1e6:.1f} MB")


def pretrain(recipe: Recipe, run: Run, out: Path, stages: Collection[str] = STAGES) -> None:
    """Run those of the stages that are not finished, and what they stand on.

    The base is written once it can be tried, while the rest still trains. Raises `OutOfTime` at the run's deadline.
    """
    words = tokenizer.kept(run.work / "tokenizer", merges=recipe.merges, max_tokens=recipe.denoiser.max_tokens)
    photographs = pools.photographs(recipe.photographs, run.work)
    if not {"autoencoder", "images", "clips", "decoder"}.isdisjoint(stages):
        vae = autoencoder.pretrain(recipe.autoencoder, photographs, run)
        if not {"images", "clips"}.isdisjoint(stages):
            denoiser.pretrain(recipe.denoiser, vae, words, photographs, run)
            export(recipe, run.work, out)
        if "decoder" in stages:
            autoencoder.sharpen(recipe.decoder, recipe.autoencoder, vae, photographs, run)
    for name, settings in (("image_encoder", recipe.image_encoder), ("judge", recipe.judge)):
        if name in stages:
            text_image.pretrain(name, settings, words, photographs, run)
    if "self_supervised" in stages:
        self_supervised.pretrain(recipe.self_supervised, photographs, run)


def _accelerator() -> Accelerator:
    """bfloat16 where the processor computes in it; emulated it is twenty times slower than float32."""
    device = choose_device(None)
    half = not is_emulated(device, torch.bfloat16)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if half else "no")


def _steps(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if name not in STAGES or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not STAGE=STEPS; stages are {', '.join(STAGES)}")
    return name, int(count)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m engine.pretraining")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="how long to train (cpu: hours)")
    parser.add_argument(
        "--work", type=Path, default=user_cache_path("dv") / "pretraining",
        help="where pools, logs, snapshots and finished stages are kept (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "bases" / "embedded",
        help="where the base is written (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--start-from", type=Path, metavar="BASE",
        help="go on from an exported base; its stages run where the preset has more steps than they took",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=_steps, action="append", default=[], metavar="STAGE=STEPS",
        help="another number of steps in all for a stage; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--only", choices=STAGES, action="append", metavar="STAGE",
        help="this stage, and what it stands on; may be repeated (judges need no others: train them beside)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, metavar="N",
        help="stop training after so many minutes, write what is reached, and go on when the command is repeated",
    )  # fmt: skip
    parser.add_argument(
        "--export-only", action="store_true", help="write what the work folder has reached, and train nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Train a base of the world, stage by stage: resumable, skips what is finished, writes a folder that dv loads."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from pathlib import Path

import torch
from accelerate import Accelerator
from platformdirs import user_cache_path

from engine.bases.load import choose_device, is_emulated
from engine.pretraining import autoencoder, denoiser, pools, self_supervised, text_image
from engine.pretraining.export import copy_world_models, export
from engine.pretraining.miniature import miniature_of
from engine.pretraining.settings import DENOISER_STAGES, PRESETS, STAGES, Recipe, with_steps
from engine.pretraining.stage import OutOfTime, Run, StageInUseError, weights_file
from engine.pretraining.starting import start_from

_WORK = {"unet3d": "pretraining", "wan": "pretraining-wan"}
_SHIPPED = Path(__file__).parents[1] / "bases" / "embedded"


def main() -> None:
    """Parse the options and run what is not finished yet."""
    options = _options()
    recipe = with_steps(PRESETS[options.family][options.preset], dict(options.steps))
    work: Path = options.work or user_cache_path("dv") / _WORK[options.family]
    deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    run = Run(work, _accelerator(), deadline)
    if options.start_from is not None and run.leads:
        start_from(options.start_from, work, recipe)
    if options.judges_of is not None and run.leads:
        copy_world_models(options.judges_of, options.out)
    run.accelerator.wait_for_everyone()
    if not options.export_only:
        try:
            pretrain(recipe, run, options.out, options.only or recipe.stages)
        except OutOfTime:
            print(f"the time is up: repeat the command to go on from {work}", flush=True)
        except StageInUseError as error:
            sys.exit(f"{error}: wait for it, stop it, or give another --work")
    if not run.leads:
        return
    if weights_file(work, "images") is None and weights_file(work, "clips") is None:
        print(f"{work}: the denoiser is not begun yet, so no base is written", flush=True)
        return
    size = export(recipe, work, options.out)
    print(f"{options.out}: {size / 1e6:.1f} MB")


def pretrain(recipe: Recipe, run: Run, out: Path, stages: Collection[str] = STAGES) -> None:
    """Run those of the recipe's stages that are not finished, and what they stand on.

    The base is written once it can be tried, while the rest still trains. Raises `OutOfTime` at the run's deadline.
    """
    miniature = miniature_of(recipe)
    with run.accelerator.main_process_first():
        words = miniature.tokenizer(run.work / "tokenizer")
        photographs = pools.photographs(recipe.photographs, run.work)
    if not {"autoencoder", *DENOISER_STAGES, "decoder"}.isdisjoint(stages):
        coding, clips = recipe.autoencoder, None
        if coding.windows is not None:
            clips = pools.clips(recipe.denoiser.pool_clips, miniature.frames, run.work)
        vae = autoencoder.pretrain(miniature, coding, photographs, clips, run)
        if not set(DENOISER_STAGES).isdisjoint(stages):
            denoiser.pretrain(miniature, recipe.denoiser, vae, words, photographs, run)
            if run.leads:
                export(recipe, run.work, out)
        if "decoder" in stages:
            autoencoder.sharpen(miniature, recipe.decoder, coding, vae, photographs, clips, run)
    for name, settings in (("image_encoder", recipe.image_encoder), ("judge", recipe.judge)):
        if name in stages and settings is not None:
            text_image.pretrain(name, settings, words, photographs, run)
    if "self_supervised" in stages and recipe.self_supervised is not None:
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
    parser.add_argument("--family", choices=sorted(PRESETS), default="unet3d", help="of bases (default: %(default)s)")
    parser.add_argument("--preset", choices=["cpu", "gpu"], default="cpu", help="how long to train (cpu: hours)")
    parser.add_argument(
        "--work", type=Path,
        help=f"where pools, logs, snapshots and finished stages are kept (default: in {user_cache_path('dv')})",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, help="where the base is written (default: the shipped base's folder, for its own family)"
    )
    parser.add_argument(
        "--judges-of", type=Path, metavar="BASE",
        help="copy image encoder and judges of an exported base, which every family's can share",
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
    options = parser.parse_args()
    if options.out is None:
        if options.family != "unet3d":
            parser.error(f"where is the base of the family {options.family} to be written? Give --out")
        options.out = _SHIPPED
    foreign = [name for name in [*dict(options.steps), *(options.only or [])] if name not in _stages(options.family)]
    if foreign:
        parser.error(f"{options.family} has no stage {foreign[0]}: stages are {', '.join(_stages(options.family))}")
    return options


def _stages(family: str) -> tuple[str, ...]:
    return PRESETS[family]["cpu"].stages


if __name__ == "__main__":
    main()

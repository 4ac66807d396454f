"""Train the embedded base, stage by stage: resumable, skips what is finished, writes the shipped folder."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from accelerate import Accelerator
from platformdirs import user_cache_path

from engine.bases.load import choose_device, is_emulated
from engine.pretraining import autoencoder, denoiser, emoji, motion_words, self_supervised, text_image, tokenizer
from engine.pretraining.export import export
from engine.pretraining.settings import PRESETS
from engine.pretraining.stage import steps_taken
from engine.pretraining.starting import STAGES, start_from, write_steps


def main() -> None:
    """Parse the options and run what is not finished yet."""
    options = _options()
    work: Path = options.work
    emoji.fetch(work / "emoji")
    if options.sprites:
        emoji.write_sprites(work / "emoji")
        return
    if options.start_from is not None:
        start_from(options.start_from, work)
    recipe = PRESETS[options.preset]
    drawings = emoji.load(work / "emoji")
    accelerator = _accelerator()
    words = tokenizer.kept(
        work / "tokenizer", drawings.names, merges=recipe.merges, max_tokens=recipe.text_image.max_tokens
    )

    vae = autoencoder.pretrain(recipe.autoencoder, drawings, work, accelerator)
    autoencoder.sharpen(recipe.decoder, recipe.autoencoder, vae, drawings, work, accelerator)
    towers = text_image.pretrain("text_image", recipe.text_image, words, drawings, work, accelerator)
    text_encoder = motion_words.pretrain(
        recipe.motion_words, words, copy.deepcopy(towers.text_model), work, accelerator
    )
    model = denoiser.pretrain(recipe.denoiser, vae, words, text_encoder, drawings, work, accelerator)
    parts = {
        "autoencoder": vae,
        "denoiser": model,
        "tokenizer": words,
        "scheduler": denoiser.scheduler(),
        "text_image": towers,
    }
    # Exported twice: the base can be tried while its judges still train.
    export(options.out, **copy.deepcopy(parts), judge=None, self_supervised=None)
    judge = text_image.pretrain("judge", recipe.judge, words, drawings, work, accelerator)
    vit = self_supervised.pretrain(recipe.self_supervised, drawings, work, accelerator)
    size = export(options.out, **parts, judge=judge, self_supervised=vit)
    write_steps(options.out, {name: steps_taken(work, name) for name in STAGES})
    print(f"{options.out}: {size / 2**20:.1f} MiB")


def _accelerator() -> Accelerator:
    """bfloat16 where the processor computes in it; emulated it is twenty times slower than float32."""
    device = choose_device(None)
    half = not is_emulated(device, torch.bfloat16)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if half else "no")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m engine.pretraining")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="how long to train (cpu: hours)")
    parser.add_argument(
        "--work", type=Path, default=user_cache_path("dv") / "pretraining",
        help="where drawings, logs, snapshots and finished stages are kept (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "bases" / "embedded",
        help="where the base is written (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--start-from", type=Path, metavar="BASE",
        help="go on from an exported base; its stages run where the preset has more steps than they took",
    )  # fmt: skip
    parser.add_argument("--sprites", action="store_true", help="pack the world's sprites anew, then stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()

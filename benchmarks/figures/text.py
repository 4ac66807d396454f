"""Figures 1 and 2: text is followed; the autoencoder keeps an individual."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.figures.asked import SEED, in_known_words, subjects
from benchmarks.figures.bench import Bench, Figure
from benchmarks.figures.measures import at_least, followed, interval, mean
from engine.pretraining.autoencoder import psnr
from engine.world import pictures

_SHOWN = 24


def text_is_followed(bench: Bench) -> Figure:
    """Generate clips of what the base knows and read class, scene and motion off them."""
    asked = in_known_words(bench.scale.clips)
    made = bench.generate(asked)
    right = followed(bench, made, asked)
    kinds = {"object": right.class_word, "scene": right.scene, "motion": right.motion}
    words = {"object": lambda a: a.one.class_word, "scene": lambda a: a.scene, "motion": lambda a: a.motion}
    by_word = {
        f"{kind} right by word": {
            word: mean([hit for hit, a in zip(hits, asked, strict=True) if words[kind](a) == word])
            for word in dict.fromkeys(map(words[kind], asked))
        }
        for kind, hits in kinds.items()
    }
    return Figure(
        f"Text is followed ({len(asked)} clips)",
        [at_least(f"{kind} right", mean(hits), 0.9) for kind, hits in kinds.items()],
        {kind: interval(hits) for kind, hits in kinds.items()} | by_word,
        [bench.sheet("1-text", [(a.prompt, clip) for a, clip in zip(asked[:_SHOWN], made, strict=False)])],
    )


def autoencoder_keeps_individuals(bench: Bench) -> Figure:
    """Send photographs of individuals that nothing was trained on through the autoencoder."""
    taken = [pictures.photograph(one, SEED + i) for i, one in enumerate(subjects(max(48, bench.scale.clips)))]
    frames = torch.from_numpy(np.stack([one.pixels for one in taken])).permute(0, 3, 1, 2).float() / 127.5 - 1
    inside = torch.from_numpy(np.stack([one.alpha for one in taken]))[:, None]
    codec = bench.base.codec
    passed = torch.cat([codec.decode(codec.encode(x.unsqueeze(2))[0]).squeeze(2) for x in frames.split(16)])
    each = [float(psnr(a, b, w)) for a, b, w in zip(passed.split(1), frames.split(1), inside.split(1), strict=True)]
    shown = (torch.stack([frames[:8], passed[:8]]).clamp(-1, 1) * 127.5 + 127.5).byte().permute(0, 1, 3, 4, 2).numpy()
    return Figure(
        f"The autoencoder keeps an individual ({len(taken)} photographs)",
        [
            at_least("PSNR over the individual, dB", mean(each), 30),
            at_least("PSNR of whole pictures, dB", float(psnr(passed, frames)), 30),
        ],
        {"PSNR over the individual, dB": interval(each), "over all their pixels": float(psnr(passed, frames, inside))},
        [bench.sheet("2-autoencoder", [("photographs", shown[0]), ("through the autoencoder", shown[1])])],
    )

"""Figures 1 and 2: text is followed; the autoencoder keeps a sprite recognisable."""

from __future__ import annotations

import torch

from benchmarks.figures.bench import Bench, Figure, FigureRow
from benchmarks.figures.material import SEED, known_requests, to_frames
from benchmarks.figures.measures import at_least, at_most, described, followed, interval, mean, rated, read
from engine.bases.load import load_base
from engine.pretraining.autoencoder import psnr
from engine.training import generator_at
from engine.world import clips, sprites


def text_is_followed(bench: Bench) -> Figure:
    """Generate known clips and read object, scene and motion off them."""
    requests = known_requests(bench.scale.clips)
    specs = rated(requests)
    made = bench.generate(requests)
    readings = read(bench, made)
    right = followed(readings, specs)
    by_word = {
        word: mean([hit for hit, s in zip(right.object, specs, strict=True) if s.word == word])
        for word in dict.fromkeys(s.word for s in specs)
    }
    by_motion = {
        motion: mean([hit for hit, s in zip(right.motion, specs, strict=True) if s.motion == motion])
        for motion in dict.fromkeys(s.motion for s in specs)
    }
    shown = [
        (described(specs[i], f"read as {readings.objects[i]}, {readings.scenes[i]}, {readings.motions[i]}"), made[i])
        for i in range(min(24, len(specs)))
    ]
    return Figure(
        f"Text is followed ({len(specs)} clips)",
        [
            at_least("object right", mean(right.object), 0.70),
            at_least("scene right", mean(right.scene), 0.90),
            at_least("motion right", mean(right.motion), 0.85),
        ],
        {
            "object": interval(right.object),
            "scene": interval(right.scene),
            "motion": interval(right.motion),
            "object right by word": by_word,
            "motion right by motion": by_motion,
        },
        [bench.sheet("1-text", shown)],
    )


def autoencoder_keeps_sprites(bench: Bench) -> Figure:
    """Send frames of held-out sprites through the autoencoder."""
    count = max(64, bench.scale.clips // 2)
    generator = generator_at(SEED, 0, "autoencoder")
    specs = [clips.draw_spec(generator, words=sprites.words("held-out")) for _ in range(count)]
    pixels, masks = clips.render(specs)
    at = torch.randint(clips.FRAMES, (count,), generator=generator)
    frames, areas = pixels[torch.arange(count), at], masks[torch.arange(count), at]
    base = load_base(bench.location, device=bench.device)
    latents, _ = base.codec.encode((frames * 2 - 1).unsqueeze(2))
    passed = base.codec.decode(latents).clamp(-1, 1).squeeze(2)
    inside = (areas > 0.5).float()
    before, after = (
        mean([float(found == s.word) for found, s in zip(bench.instruments.read_frames(x), specs, strict=True)])
        for x in (frames, (passed + 1) / 2)
    )
    pictures = {"rendered": frames, "through the autoencoder": (passed + 1) / 2}
    shown = [(name, to_frames(x[None, :8])[0]) for name, x in pictures.items()]
    return Figure(
        f"The autoencoder keeps a sprite recognisable ({count} frames of held-out sprites)",
        [
            at_least("PSNR of frames, dB", float(psnr(passed, frames * 2 - 1)), 29),
            at_least("PSNR of the sprite's pixels, dB", float(psnr(passed, frames * 2 - 1, inside)), 25),
            at_most("object accuracy lost", before - after, 0.03),
            FigureRow("object accuracy before", before),
            FigureRow("object accuracy after", after),
        ],
        {},
        [bench.sheet("2-autoencoder", shown)],
    )

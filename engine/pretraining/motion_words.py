"""The conditioning text tower learns to tell motions apart, from text alone.

No still picture shows a motion, so no caption of CLIP's stage names one, and to the tower "moving left" is next
to "moving right": 0.7 apart, where two objects are 29. Here each motion's phrase is given a direction of its own
in the tower's hidden states, and nothing else moves; what the directions mean is for the denoiser to learn.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from engine.pretraining.captions import caption
from engine.pretraining.settings import MotionWordsSettings
from engine.pretraining.stage import Run, run_stage
from engine.pretraining.text_image import tokenize
from engine.training import generator_at
from engine.world import backgrounds, motions
from engine.world.colours import WORDS
from engine.world.individuals import CLASSES


def pretrain(
    settings: MotionWordsSettings, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, run: Run
) -> CLIPTextModel:
    """Train `text_encoder` in place as the stage "motion_words", and return it in eval mode."""
    model = text_encoder.requires_grad_(True).to(run.device)
    former = copy.deepcopy(model).eval().requires_grad_(False)
    names = tuple(motions.KNOWN)
    directions = directions_of(len(names), model.config.hidden_size, settings.loop.seed).to(run.device)

    def loss_at(step: int, _micro: int) -> Tensor:
        generator = generator_at(settings.loop.seed, step)
        captions, offsets = (
            [],
            torch.zeros(settings.batch_size, model.config.max_position_embeddings, len(directions[0])),
        )
        for i in range(settings.batch_size):
            said, motion, scene = _draw(settings, generator)
            phrase = motions.KNOWN[motion].phrase if motion else ""
            captions.append(caption(said, phrase=phrase, scene=scene))
            if motion:
                # The start token stands before the words: so many of them, such is the place of the phrase's last.
                place = len(tokenizer.tokenize(caption(said, phrase=phrase)))
                offsets[i, place:] = settings.strength * directions[names.index(motion)].cpu()
        ids = tokenize(tokenizer, captions).to(run.device)
        with torch.no_grad():
            before: Tensor = former(ids).last_hidden_state
            moved = before + offsets.to(before)
            # The tower ends in a layer norm, which keeps the length.
            target = moved * before.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True)
        error: Tensor = (model(ids).last_hidden_state - target).square().sum(dim=-1).mean()
        return error

    run_stage("motion_words", model, loss_at, settings.loop, run, ema_decay=settings.ema_decay, settings=settings)
    return model.eval()


def _draw(settings: MotionWordsSettings, generator: torch.Generator) -> tuple[str, str, str]:
    """What a caption is about, the motion that it names or "", and its scene's phrase or ""."""

    def pick(choices: Iterable[str]) -> str:
        listed = list(choices)
        return listed[int(torch.randint(len(listed), (), generator=generator))]

    coloured, named, placed = torch.rand(3, generator=generator).tolist()
    said = f"{pick(WORDS)} {pick(CLASSES)}" if coloured < 0.5 else pick(CLASSES)
    motion = pick(motions.KNOWN) if named < settings.named_share else ""
    return said, motion, pick(backgrounds.PHRASES.values()) if placed < 0.85 else ""


def directions_of(count: int, width: int, seed: int) -> Tensor:
    """`count` orthonormal directions `(count, width)`, each orthogonal to the mean, which a layer norm removes."""
    drawn = torch.randn(width, count + 1, generator=torch.Generator().manual_seed(seed))
    drawn[:, 0] = 1
    basis: Tensor = torch.linalg.qr(drawn).Q
    return basis.T[1:]

"""The conditioning text tower learns to tell motions apart, from text alone.

No still picture shows a motion, so no caption of CLIP's stage names one, and to the tower "moving left" is next
to "moving right": 0.7 apart, where two objects are 29. Here each motion's phrase is given a direction of its own
in the tower's hidden states, and nothing else moves; what the directions mean is for the denoiser to learn.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from engine.pretraining.settings import MotionWordsSettings
from engine.pretraining.stage import run_stage
from engine.pretraining.text_image import tokenize
from engine.training import generator_at
from engine.world import clips, motions, sprites


def pretrain(
    settings: MotionWordsSettings,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    work: Path,
    accelerator: Accelerator,
) -> CLIPTextModel:
    """Train `text_encoder` in place as the stage "motion_words", and return it in eval mode."""
    model = text_encoder.requires_grad_(True).to(accelerator.device)
    former = copy.deepcopy(model).eval().requires_grad_(False)
    names = tuple(motions.KNOWN)
    directions = directions_of(len(names), model.config.hidden_size, settings.loop.seed).to(accelerator.device)

    def loss_at(step: int, _micro: int) -> Tensor:
        generator = generator_at(settings.loop.seed, step)
        specs = [clips.draw_spec(generator, words=sprites.words("known")) for _ in range(settings.batch_size)]
        shares = torch.rand(len(specs), generator=generator).tolist()
        captions, offsets = [], torch.zeros(len(specs), model.config.max_position_embeddings, directions.shape[1])
        for i, (spec, share) in enumerate(zip(specs, shares, strict=True)):
            motion = spec.motion if share < settings.named_share else None
            captions.append(clips.caption(spec.word, motion, spec.scene if share > settings.sceneless_share else None))
            if motion is not None:
                # The start token stands before the words: so many of them, such is the place of the phrase's last.
                said = len(tokenizer.tokenize(clips.caption(spec.word, motion)))
                offsets[i, said:] = settings.strength * directions[names.index(motion)].cpu()
        ids = tokenize(tokenizer, captions).to(accelerator.device)
        with torch.no_grad():
            before: Tensor = former(ids).last_hidden_state
            moved = before + offsets.to(before)
            # The tower ends in a layer norm, which keeps the length.
            target = moved * before.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True)
        error: Tensor = (model(ids).last_hidden_state - target).square().sum(dim=-1).mean()
        return error

    run_stage(
        "motion_words", model, loss_at, settings.loop,
        work=work, accelerator=accelerator, ema_decay=settings.ema_decay, settings=settings,
    )  # fmt: skip
    return model.eval()


def directions_of(count: int, width: int, seed: int) -> Tensor:
    """`count` orthonormal directions `(count, width)`, each orthogonal to the mean, which a layer norm removes."""
    drawn = torch.randn(width, count + 1, generator=torch.Generator().manual_seed(seed))
    drawn[:, 0] = 1
    basis: Tensor = torch.linalg.qr(drawn).Q
    return basis.T[1:]

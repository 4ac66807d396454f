"""A CLIP of the world: its towers condition the base, or, trained apart from another seed, judge it."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from engine.pretraining.emoji import Drawings
from engine.pretraining.frames import draw_frames
from engine.pretraining.settings import ContrastiveSettings
from engine.pretraining.stage import run_stage
from engine.training import generator_at
from engine.world import clips


def build(settings: ContrastiveSettings, tokenizer: CLIPTokenizer) -> CLIPModel:
    shared = {
        "hidden_size": settings.width,
        "intermediate_size": 4 * settings.width,
        "num_attention_heads": 4,
        "projection_dim": settings.projection,
    }
    text = {
        "num_hidden_layers": settings.text_layers,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": settings.max_tokens,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "num_hidden_layers": settings.image_layers,
        "image_size": clips.SIZE,
        "patch_size": settings.patch_size,
    }
    return CLIPModel(
        CLIPConfig(text_config=shared | text, vision_config=shared | vision, projection_dim=settings.projection)
    )


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids `(B, L)`, padded to the tokenizer's length, as the base itself is prompted."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, captions: list[str]) -> Tensor:
    """CLIP's symmetric loss on normalised features `(B, C)`; equal captions in a batch share the target."""
    logits = scale * image @ text.T
    index = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    labels = torch.tensor([index[caption] for caption in captions], device=logits.device)
    same = (labels[:, None] == labels[None]).float()
    target = same / same.sum(dim=1, keepdim=True)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def pretrain(
    name: str,
    settings: ContrastiveSettings,
    tokenizer: CLIPTokenizer,
    drawings: Drawings,
    work: Path,
    accelerator: Accelerator,
) -> CLIPModel:
    """Train one CLIP as the stage `name`, and return it in eval mode."""
    torch.manual_seed(settings.loop.seed)
    model = build(settings, tokenizer).to(accelerator.device)

    def loss_at(step: int, _micro: int) -> Tensor:
        generator = generator_at(settings.loop.seed, step)
        frames = draw_frames(generator, settings.batch_size, drawings, settings.any_emoji_share)
        ids = tokenize(tokenizer, frames.captions).to(accelerator.device)
        with accelerator.autocast():
            output = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=frames.pixels.to(accelerator.device),
            )
        scale = model.logit_scale.exp().clamp(max=100)
        return contrastive_loss(output.image_embeds.float(), output.text_embeds.float(), scale, frames.captions)

    run_stage(
        name, model, loss_at, settings.loop,
        work=work, accelerator=accelerator, ema_decay=settings.ema_decay, settings=settings,
    )  # fmt: skip
    return model.eval().requires_grad_(False)

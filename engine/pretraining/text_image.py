"""A CLIP of the world: its image tower is the base's image encoder, or, trained apart from another seed, it judges.

Captions say a class and at most a colour, so they alone would teach that two brown dogs are the same. Two photographs
of an individual belong together, too, and those of others in the batch, many of its class and colour, do not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, PreTrainedModel

from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.captions import of_photograph
from engine.pretraining.pools import Photographs
from engine.pretraining.settings import ContrastiveSettings
from engine.pretraining.stage import Run, run_stage
from engine.training import generator_at
from engine.world.pictures import SIZE


def build(settings: ContrastiveSettings, tokenizer: CLIPTokenizer) -> CLIPModel:
    """The untrained CLIP, its text tower as long as the tokenizer's prompts."""
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
        "image_size": SIZE,
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


def identity_loss(first: Tensor, second: Tensor, scale: float) -> Tensor:
    """Each individual's two photographs find each other among all of the batch: normalised features `(B, C)` of one
    photograph each, twice (SimCLR's loss, arXiv 2002.05709)."""
    features = torch.cat([first, second])
    logits = scale * features @ features.T
    itself = torch.eye(len(features), dtype=torch.bool, device=logits.device)
    other = torch.arange(len(features), device=logits.device).roll(len(first))
    return F.cross_entropy(logits.masked_fill(itself, float("-inf")), other)


def attend_plainly(model: PreTrainedModel, device: torch.device) -> None:
    """On a processor torch's fused attention takes nearly twice as long in bfloat16."""
    if device.type == "cpu":
        model.set_attn_implementation("eager")


def pretrain(
    name: str, settings: ContrastiveSettings, tokenizer: CLIPTokenizer, photographs: Photographs, run: Run
) -> CLIPModel:
    """Train one CLIP as the stage `name`, and return it in eval mode."""
    torch.manual_seed(settings.loop.seed)
    model = build(settings, tokenizer).to(run.device)
    attend_plainly(model, run.device)

    def draw(step: int) -> tuple[Tensor, list[str]]:
        generator = generator_at(settings.loop.seed, step)
        shown = torch.cat(photographs.draw_pairs(settings.batch_size // 2, settings.group, generator))
        return photographs.frames(shown)[0], [of_photograph(photographs.shown[i], generator) for i in shown.tolist()]

    drawn = drawn_ahead(draw)

    def loss_at(step: int, _micro: int) -> Tensor:
        pixels, captions = drawn(step)
        ids = tokenize(tokenizer, captions).to(run.device)
        with run.accelerator.autocast():
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels.to(run.device))
        scale = model.logit_scale.exp().clamp(max=100)
        images = output.image_embeds.float()
        said = contrastive_loss(images, output.text_embeds.float(), scale, captions)
        halves = images.chunk(2)
        return said + settings.identity_weight * identity_loss(halves[0], halves[1], settings.identity_scale)

    run_stage(name, model, loss_at, settings.loop, run, ema_decay=settings.ema_decay, settings=settings)
    return model.eval().requires_grad_(False)

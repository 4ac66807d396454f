"""A small ViT that learns to see without words: the judge behind DINO-I.

Two photographs of an individual, over different scenes, are views of the same (changed backgrounds: arXiv
2103.12719). Views of one and the same picture of so plain a world are told by their scenes alone, and a teacher and
student (arXiv 2104.14294) that agree on individuals need not tell two of a class apart, so the loss is SimCLR's: the
other individuals of the batch, many of the same class and colour, are what it is told apart from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from engine.pretraining.ahead import drawn_ahead
from engine.pretraining.pools import Photographs
from engine.pretraining.settings import SelfSupervisedSettings
from engine.pretraining.stage import Run, run_stage
from engine.pretraining.text_image import attend_plainly, identity_loss
from engine.training import generator_at
from engine.world.pictures import SIZE


class Viewer(nn.Module):
    """The encoder; its CLS token after the final norm is the feature that is compared."""

    def __init__(self, settings: SelfSupervisedSettings) -> None:
        super().__init__()
        self.encoder = ViTModel(
            ViTConfig(
                hidden_size=settings.width,
                intermediate_size=4 * settings.width,
                num_hidden_layers=settings.layers,
                num_attention_heads=4,
                image_size=SIZE,
                patch_size=settings.patch_size,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised features `(B, C)` of pictures `(B, 3, H, W)`."""
        return F.normalize(self.encoder(pixels).last_hidden_state[:, 0].float(), dim=-1)


def random_views(pixels: Tensor, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """A view of each picture `(B, 3, H, W)`: a crop of some of its area, perhaps mirrored, in another light."""
    b, size = len(pixels), pixels.shape[-1]

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, generator=generator)

    scale = between(*area).sqrt()
    flip = torch.where(torch.rand(b, generator=generator) < 0.5, -1.0, 1.0)
    room = 1 - scale
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * flip, scale
    theta[:, 0, 2], theta[:, 1, 2] = room * between(-1, 1), room * between(-1, 1)
    grid = F.affine_grid(theta, [b, 3, size, size], align_corners=False).to(pixels.device)
    views = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = between(0.9, 1.1, 1, 1, 1), between(-0.08, 0.08, 1, 1, 1)
    return (views * contrast.to(views) + brightness.to(views)).clamp(-1, 1)


def pretrain(settings: SelfSupervisedSettings, photographs: Photographs, run: Run) -> ViTModel:
    """Train the judge and return its encoder in eval mode."""
    torch.manual_seed(settings.loop.seed)
    model = Viewer(settings).to(run.device)
    attend_plainly(model.encoder, run.device)

    def draw(step: int) -> list[Tensor]:
        pairs = photographs.draw_pairs(settings.batch_size // 2, settings.group, generator_at(settings.loop.seed, step))
        return [photographs.frames(indices)[0] for indices in pairs]

    drawn = drawn_ahead(draw)

    def loss_at(step: int, _micro: int) -> Tensor:
        generator = generator_at(settings.loop.seed, step, "views")
        views = [random_views(pixels.to(run.device), settings.area, generator) for pixels in drawn(step)]
        with run.accelerator.autocast():
            features = model(torch.cat(views))
        first, second = features.chunk(2)
        return identity_loss(first, second, settings.identity_scale)

    run_stage("self_supervised", model, loss_at, settings.loop, run, ema_decay=settings.ema_decay, settings=settings)
    encoder: ViTModel = model.encoder.eval().requires_grad_(False)
    return encoder

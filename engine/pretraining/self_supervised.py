"""A small ViT that learns without labels, DINO's way (arXiv 2104.14294): the judge behind DINO-I.

The views of a picture share what it shows, not its scene (changed backgrounds: arXiv 2103.12719): views of
one and the same picture of so plain a world are told by their scenes alone, and objects go unseen.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from engine.pretraining.emoji import Drawings
from engine.pretraining.frames import choose, place
from engine.pretraining.settings import SelfSupervisedSettings
from engine.pretraining.stage import run_stage
from engine.training import generator_at
from engine.world import clips


class Student(nn.Module):
    """The encoder with DINO's head: the CLS token after the final norm, an MLP, normalised prototypes."""

    def __init__(self, settings: SelfSupervisedSettings) -> None:
        super().__init__()
        self.encoder = ViTModel(
            ViTConfig(
                hidden_size=settings.width,
                intermediate_size=4 * settings.width,
                num_hidden_layers=settings.layers,
                num_attention_heads=4,
                image_size=clips.SIZE,
                patch_size=settings.patch_size,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )
        self.head = nn.Sequential(
            nn.Linear(settings.width, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 64)
        )
        self.prototypes = nn.Parameter(torch.randn(settings.prototypes, 64))

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.encoder(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]
        return F.normalize(self.head(hidden), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


def random_views(pixels: Tensor, size: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """A random resized crop, flip and colour change of each picture: `(B, 3, H, W)` -> `(B, 3, size, size)`."""
    b = pixels.shape[0]

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
    contrast, brightness = between(0.8, 1.2, 1, 1, 1), between(-0.15, 0.15, 1, 1, 1)
    tint = 0.15 * (2 * torch.rand(b, 3, 1, 1, generator=generator) - 1)
    return (views * contrast.to(views) + (brightness + tint).to(views)).clamp(-1, 1)


def pretrain(settings: SelfSupervisedSettings, drawings: Drawings, work: Path, accelerator: Accelerator) -> ViTModel:
    """Train the judge and return its teacher's encoder, the average of the students, in eval mode."""
    torch.manual_seed(settings.loop.seed)
    student = Student(settings).to(accelerator.device)
    teacher = copy.deepcopy(student).requires_grad_(False)
    centre = torch.zeros(settings.prototypes, device=accelerator.device)

    def loss_at(step: int, _micro: int) -> Tensor:
        generator = generator_at(settings.loop.seed, step)
        chosen = choose(generator, settings.batch_size, drawings, 0.7)
        pictures = [place(generator, chosen).pixels.to(accelerator.device) for _ in range(2)]
        wide = torch.cat([random_views(p, clips.SIZE, (0.6, 1.0), generator) for p in pictures])
        near = torch.cat([random_views(p, clips.SIZE // 2, (0.2, 0.6), generator) for p in pictures * 2])
        with accelerator.autocast():
            with torch.no_grad():
                taught = teacher(wide).float()
            seen_wide, seen_near = student(wide).float(), student(near).float()
        target = F.softmax((taught - centre) / settings.teacher_temperature, dim=-1).chunk(2)
        centre.lerp_(taught.mean(dim=0), 1 - settings.centre_momentum)
        guesses = [*seen_wide.chunk(2), *seen_near.chunk(4)]
        logs = [F.log_softmax(g / settings.student_temperature, dim=-1) for g in guesses]
        pairs = [(t, g) for t in range(2) for g in range(len(logs)) if t != g]
        return torch.stack([-(target[t] * logs[g]).sum(dim=-1).mean() for t, g in pairs]).mean()

    @torch.no_grad()
    def update_teacher(_step: int) -> None:
        for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs, 1 - settings.teacher_momentum)

    run_stage(
        "self_supervised", student, loss_at, settings.loop,
        work=work, accelerator=accelerator, ema_decay=settings.teacher_momentum, settings=settings,
        extra_state={"centre": centre, **{f"teacher.{k}": v for k, v in teacher.state_dict().items()}},
        after_step=update_teacher,
    )  # fmt: skip
    encoder: ViTModel = student.encoder.eval().requires_grad_(False)
    return encoder

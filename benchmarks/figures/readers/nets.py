"""The nets: one reads a frame (class, scene, where the individual is), one a clip (motion)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FrameReading:
    """Logits for classes `(B, C)` and scenes `(B, S)`, centres `(B, 2)` in [0, 1], area logits `(B, h, w)`."""

    classes: Tensor
    scenes: Tensor
    centres: Tensor
    areas: Tensor


class FrameNet(nn.Module):
    """Convolutions on 64 x 64 frames. The class is read where the net itself finds the individual."""

    def __init__(self, widths: tuple[int, int, int], classes: int, scenes: int) -> None:
        super().__init__()
        first, second, third = widths
        self.trunk = nn.Sequential(
            _stage(3, first, stride=2), _stage(first, second, stride=2), _stage(second, third), _stage(third, third)
        )
        # Individuals are 25 to 50 pixels wide: their class needs a view wider than the trunk's.
        self.around = nn.Sequential(_stage(third, third, stride=2), _stage(third, third))
        self.heat = nn.Sequential(_stage(third, third, stride=1), nn.Conv2d(third, 1, 1))
        self.area = nn.Conv2d(third, 1, 1)
        self.kind = nn.Linear(2 * third, classes)
        self.scene = nn.Linear(third * 4, scenes)

    def forward(self, pixels: Tensor) -> FrameReading:
        """Frames `(B, 3, 64, 64)` in [0, 1]."""
        near = self.trunk(pixels * 2 - 1)
        wide = self.around(near)
        raised = near + nn.functional.interpolate(wide, scale_factor=2, mode="bilinear")
        heat, area = self.heat(raised)[:, 0], self.area(raised)[:, 0]
        weight = area.sigmoid()
        weight = (weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-4))[:, None]
        inside = torch.cat([(near * weight).sum(dim=(2, 3)), (raised * weight).sum(dim=(2, 3))], dim=1)
        # The scene stands at the edges: a 2 x 2 grid of means keeps top and bottom apart.
        corners = nn.functional.adaptive_avg_pool2d(near, 2).flatten(1)
        return FrameReading(self.kind(inside), self.scene(corners), _soft_argmax(heat), area)


class MotionNet(nn.Module):
    """Convolutions on the differences of neighbouring frames and on the first, all as channels of one picture."""

    def __init__(self, widths: tuple[int, int, int], frames: int, motions: int) -> None:
        super().__init__()
        first, second, third = widths
        self.layers = nn.Sequential(
            _stage(3 * frames, first, stride=2),
            _stage(first, second, stride=2),
            _stage(second, third, stride=2),
            _stage(third, third, stride=2),
            nn.Flatten(),
            nn.Linear(third * 16, third),
            nn.GELU(),
            nn.Linear(third, motions),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Clips `(B, F, 3, 64, 64)` in [0, 1] to logits `(B, M)`."""
        picture = torch.cat([pixels[:, :1] - 0.5, 3 * pixels.diff(dim=1)], dim=1).flatten(1, 2)
        logits: Tensor = self.layers(picture)
        return logits


def _stage(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride=stride, padding=1), nn.GroupNorm(8, outer), nn.GELU())


def _soft_argmax(heat: Tensor) -> Tensor:
    """The expected place `(B, 2)` under the softmax of a map `(B, h, w)`; x then y, in [0, 1]."""
    b, h, w = heat.shape
    chance = heat.flatten(1).softmax(dim=1).view(b, h, w)
    x = (torch.arange(w, device=heat.device) + 0.5) / w
    y = (torch.arange(h, device=heat.device) + 0.5) / h
    return torch.stack([(chance.sum(dim=1) * x).sum(dim=1), (chance.sum(dim=2) * y).sum(dim=1)], dim=1)

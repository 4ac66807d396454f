"""How much a video moves, and whether it moves as its references do. Beyond the paper; see docs/evaluation.md.

A motion is described step by step by what most of the moving points do together: their shift, expansion and
rotation, the first terms of the affine model of flow (Bergen et al. 1992). That leaves out what moves and where
in the frame, which another object must be free to change. The score is made like that of Yatim et al. (CVPR
2024), the cosine of velocities, of the whole video's instead of single tracks': no learnt tracker is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.evaluation.flow import Flow

_FASTEST = 0.05
_STILL = 2e-3
"""Movement from one frame to the next, in shorter sides, below which nothing is said to move: a half pixel of 256."""
_FEWEST = 4


def motion_amount_curve(flow: Flow, fps: float) -> Tensor:
    """How fast the fastest 5% of trusted points are, in shorter sides a second, `(F - 1,)`.

    The fastest, as in VBench's dynamic degree (Huang et al., CVPR 2024), so that a still background doesn't
    hide a small object that moves. A still video has 0.
    """
    return _fastest(flow) * fps


def motion_signature(flow: Flow) -> Tensor:
    """Shift in x, in y, expansion and clockwise rotation of what moves, `(F - 1, 4)`, in shorter sides a step.

    What moves are the trusted points at least half as fast as the fastest 5%. Expansion and rotation are the
    mean movement away from, and around, their centre. A step in which nothing moves is 0.
    """
    steps = []
    for moved, trusted, fastest in zip(flow.moved, flow.trusted, _fastest(flow), strict=True):
        moving = trusted & (moved.norm(dim=-1) >= fastest / 2)
        if fastest < _STILL or int(moving.sum()) < _FEWEST:
            steps.append(torch.zeros(4))
            continue
        places, movement = flow.points[moving], moved[moving]
        shift = movement.mean(dim=0)
        arms, rest = places - places.mean(dim=0), movement - shift
        reach = (arms**2).sum(dim=-1).mean().sqrt().clamp(min=1e-6)
        expansion = (arms * rest).sum(dim=-1).mean() / reach
        rotation = (arms[:, 0] * rest[:, 1] - arms[:, 1] * rest[:, 0]).mean() / reach
        steps.append(torch.stack([*shift, expansion, rotation]))
    return torch.stack(steps)


def motion_fidelity_curve(video: Tensor, references: Sequence[Sequence[Tensor]]) -> Tensor:
    """What each step adds to the cosine of signatures, as a curve whose mean is the score.

    `video` `(F - 1, 4)`; for each reference clip the signatures of the windows it can be compared in: the one
    most like the video counts, and the mean over references. Compared are as many steps as all have. The
    score is 1 for the same motion at any speed, 0 for an unrelated one or none at all, -1 for its reverse.
    """
    steps = min(len(signature) for windows in references for signature in (video, *windows))
    curves = [[_shared(video[:steps], window[:steps]) for window in windows] for windows in references]
    return torch.stack([max(windows, key=lambda curve: float(curve.mean())) for windows in curves]).mean(dim=0)


def _fastest(flow: Flow) -> Tensor:
    """The mean speed of the fastest 5% of each step's trusted points, `(F - 1,)`; 0 where there are too few."""
    speeds = []
    for moved, trusted in zip(flow.moved, flow.trusted, strict=True):
        speed = moved.norm(dim=-1)[trusted]
        count = max(_FEWEST, round(len(speed) * _FASTEST))
        speeds.append(speed.topk(count).values.mean() if len(speed) >= count else torch.zeros(()))
    return torch.stack(speeds)


def _shared(one: Tensor, other: Tensor) -> Tensor:
    size = one.norm() * other.norm()
    return (one * other).sum(dim=-1) * len(one) / size if size > 0 else torch.zeros(len(one))

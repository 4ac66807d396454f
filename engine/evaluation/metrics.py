"""The paper's four metrics (section 4.1), as functions of features, and a colour score that no model learnt.

Features are `(N, D)`, of any length: cosines are taken here. CLIP is a model other than the one that
conditions the motion adapter; DINO's feature is the CLS token after the final norm. Each metric is the mean
of a curve over the video, which a function of its own gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import InputError


def clip_t(frames: Tensor, text: Tensor) -> float:
    """CLIP-T: mean over frames of cos(frame, text); CLIP features `(F, D)` and `(D,)`.

    The text is the prompt with the pseudo-word written as its class word.
    """
    return float(likeness_to_text(frames, text).mean())


def clip_i(frames: Tensor, references: Tensor) -> float:
    """CLIP-I: mean over frames and reference images of their cosines; CLIP features `(F, D)` and `(R, D)`."""
    return float(likeness_to_images(frames, references).mean())


def dino_i(frames: Tensor, references: Tensor) -> float:
    """DINO-I: as `clip_i`, on DINO features."""
    return float(likeness_to_images(frames, references).mean())


def temporal_consistency(frames: Tensor) -> float:
    """Mean cosine of neighbouring frames' CLIP features `(F, D)`. Raises `InputError` for a single frame."""
    if len(frames) < 2:
        raise InputError("temporal consistency compares neighbouring frames: give a video of at least 2 frames")
    return float(likeness_of_neighbours(frames).mean())


def likeness_to_text(frames: Tensor, text: Tensor) -> Tensor:
    """Each frame's cosine with the text, `(F,)`."""
    return _cosines(frames, text[None])[:, 0]


def likeness_to_images(frames: Tensor, references: Tensor) -> Tensor:
    """Each frame's mean cosine with the references, `(F,)`."""
    return _cosines(frames, references).mean(dim=1)


def likeness_of_neighbours(frames: Tensor) -> Tensor:
    """Each frame's cosine with the next, `(F - 1,)`."""
    return F.cosine_similarity(frames[:-1], frames[1:], dim=-1)


def colour_histogram(pixels: Tensor, weight: Tensor, bins: int = 6) -> Tensor:
    """How often each colour occurs, `(bins ** 3,)`, summing to 1.

    `pixels` `(N, 3, H, W)` in [0, 1]; `weight` `(N, 1, H, W)` says how much each pixel counts.
    """
    index = (pixels * bins).long().clamp(0, bins - 1)
    flat = (index[:, 0] * bins + index[:, 1]) * bins + index[:, 2]
    counts = torch.zeros(bins**3).scatter_add_(0, flat.flatten(), weight[:, 0].flatten())
    return counts / counts.sum().clamp(min=1e-12)


def colour_similarity(one: Tensor, other: Tensor) -> float:
    """What two colour histograms have in common, from 0 to 1 (histogram intersection, Swain and Ballard 1991)."""
    return float(torch.minimum(one, other).sum())


def trajectory_correlation(moved: Tensor, should: Tensor) -> float:
    """Pearson's correlation of two tracks' frame-to-frame displacements, without shift in time.

    Tracks are centroids `(F, 2)`; x and y displacements are concatenated. 0 where either does not move.
    """
    one, other = (track.diff(dim=0).T.flatten() for track in (moved, should))
    one, other = one - one.mean(), other - other.mean()
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size > 1e-9 else 0.0


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    return F.normalize(one, dim=-1) @ F.normalize(other, dim=-1).T

"""An individual's parameters as one vector, for the embedding that names it while the denoiser is pretrained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.world import colours
from engine.world.individuals import FORMS, Individual

_CHOICES = {
    choice: place
    for place, choice in enumerate(
        sorted({(part, form) for parts in FORMS.values() for part, forms in parts.items() for form in forms})
    )
}
_NUMBERS = 11
COUNT = _NUMBERS + len(_CHOICES)


def of(one: Individual) -> Tensor:
    """Its three colours in Oklab, its build, and one for each form that a part of it has: `(COUNT,)`, each about 1."""
    vector = torch.zeros(COUNT)
    painted = np.concatenate([colours.oklab(colour) for colour in (one.body, one.second, one.third)])
    vector[: _NUMBERS - 2] = 3 * torch.from_numpy(painted).float()
    vector[_NUMBERS - 2 : _NUMBERS] = 0.5 * torch.tensor(one.build)
    for choice in zip(FORMS[one.class_word], one.form, strict=True):
        vector[_NUMBERS + _CHOICES[choice]] = 1
    return vector

"""Muon: momentum whose updates are orthogonalised, for matrices and the kernels of convolutions.

Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); scaled so that an update is as
large as AdamW's, after "Muon is scalable for LLM training" (arXiv 2502.16982, section 2.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Newton and Schulz's iteration: singular values end between about 0.7 and 1.2, not at 1, in few rounds (Jordan)."""
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum whose every update is brought near the closest orthogonal matrix.

    An update's root mean square is a fifth of the learning rate (AdamW's is of that order), so the two share their
    rates. torch's own Muon iterates in bfloat16, matrix by matrix; here it is float32, all matrices of a shape at once:
    a small fraction of the time on processors, most of which only emulate bfloat16. A kernel `(O, I, ...)` is the
    matrix `(O, I * ...)` (Jordan).

    Raises `ValueError` for a vector.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if any(p.ndim < 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon is for matrices and kernels: leave vectors to AdamW")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply the gradients at hand. A parameter without one stays as it is."""
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.device], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.flatten(1).shape, parameter.device].append(parameter)
            for parameters in alike.values():
                updates = orthogonalised(
                    torch.stack([self._momentum(p, group["momentum"]).flatten(1) for p in parameters])
                )
                scale = 0.2 * max(updates.shape[-2:]) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter).to(parameter.dtype), alpha=-group["lr"] * scale)

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """The running mean of gradients, looked ahead by one (Nesterov)."""
        assert parameter.grad is not None
        gradient, state = parameter.grad.float(), self.state[parameter]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(gradient)
        return gradient.lerp(state["mean"].lerp_(gradient, 1 - momentum), momentum)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices `(N, A, B)` with singular values near 1 and the directions that they had; zero stays zero.

    A round is X' = (a + b G + c G^2) X with G = X X^T, so all rounds are one product of polynomials of the first G:
    it is gathered among small squares and meets the long side once, which takes a fraction of the time.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    square = x @ x.mT
    identity = torch.eye(square.shape[-1], device=x.device, dtype=x.dtype)
    gathered = identity.expand_as(square)
    for _ in range(_ROUNDS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c) + a * identity
        gathered = factor @ gathered
        square = factor @ square @ factor
    x = gathered @ x
    made: Tensor = x.mT if tall else x
    return made

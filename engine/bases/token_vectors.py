"""A learnt token among embeddings: one vector, or several that stand in a row."""

from __future__ import annotations

from torch import Tensor


def vectors_of(token: Tensor | None) -> int:
    """How many vectors a learnt token has: one where it is `(D,)`, N where it is `(N, D)`, none without a token."""
    if token is None:
        return 0
    return 1 if token.ndim == 1 else len(token)


def at_places(token: Tensor, places: Tensor) -> Tensor:
    """What stands at those of `places` `(..., L)` that are true: a token's one vector `(D,)`, or its vectors one after
    another, again and again, `(..., L, D)`."""
    if token.ndim == 1:
        return token
    return token[(places.cumsum(dim=-1) - 1) % len(token)]

"""Intervals around means, by resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds between which it lies at the level asked for."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float], *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """The mean of `values` and its percentile bootstrap interval (Efron 1979).

    Raises `ValueError` without values.
    """
    if not len(values):
        raise ValueError("an interval needs values")
    sample = np.asarray(values, dtype=np.float64)
    chosen = np.random.default_rng(seed).integers(len(sample), size=(resamples, len(sample)))
    means = sample[chosen].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


def paired_interval(
    one: Sequence[float], other: Sequence[float], *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """The interval of the mean of one - other, cell by cell. Raises `ValueError` where the lengths differ."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    return bootstrap_interval(differences, level=level, resamples=resamples, seed=seed)

"""Intervals around means, by resampling."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds between which it lies at the level asked for."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The mean of `values` and its percentile bootstrap interval (Efron 1979).

    With `groups`, one for each value, whole groups are resampled (Davison and Hinkley 1997, section 3.8): values
    that have something in common, such as the subject of several videos, tell less than as many unrelated ones.

    Raises `ValueError` without values, and where there are not as many groups as values.
    """
    if not len(values):
        raise ValueError("an interval needs values")
    sample = np.asarray(values, dtype=np.float64)
    sums, sizes = _by_group(sample, range(len(sample)) if groups is None else groups)
    chosen = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


def paired_interval(
    one: Sequence[float],
    other: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The interval of the mean of one - other, cell by cell. Raises `ValueError` where the lengths differ."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    return bootstrap_interval(differences, groups=groups, level=level, resamples=resamples, seed=seed)


def _by_group(
    sample: npt.NDArray[np.float64], groups: Sequence[Hashable]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Each group's sum and size."""
    place = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    sums, sizes = np.zeros(len(place)), np.zeros(len(place))
    for value, group in zip(sample, groups, strict=True):
        sums[place[group]] += value
        sizes[place[group]] += 1
    return sums, sizes

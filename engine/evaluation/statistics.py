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


Factor = Sequence[Hashable]
"""What each of some values is of, such as its subject: values of one level have something in common."""


def bootstrap_interval(
    values: Sequence[float],
    *,
    factors: Sequence[Factor] = (),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The mean of `values` and its percentile bootstrap interval (Efron 1979).

    With `factors`, each the levels of all values, the levels of every factor are resampled, independently of those of
    the others; a value weighs as often as its levels were drawn, multiplied (the pigeonhole bootstrap: Owen 2007,
    Annals of Applied Statistics 1(2), pages 386 to 411). Values that have something in common tell less than as many
    unrelated ones. Factors of one level are left out; where none is left, values are resampled one by one.

    Raises `ValueError` without values, and for a factor that has not as many levels as there are values.
    """
    if not len(values):
        raise ValueError("an interval needs values")
    sample = np.asarray(values, dtype=np.float64)
    varying = _varying(factors, len(sample)) or [np.arange(len(sample))]
    crossings, place = np.unique(np.stack(varying), axis=1, return_inverse=True)
    sums, sizes = np.bincount(place.ravel(), weights=sample), np.bincount(place.ravel())
    random = np.random.default_rng(seed)
    weights = np.ones((resamples, len(sums)))
    for codes in crossings:
        count = int(codes.max()) + 1
        weights *= random.multinomial(count, np.full(count, 1 / count), size=resamples)[:, codes]
    totals = weights @ sizes
    drawn = totals > 0  # Where not every level was crossed with every other, a resample may hold no value.
    low, high = np.quantile((weights @ sums)[drawn] / totals[drawn], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


def fewest_levels(factors: Sequence[Factor]) -> int:
    """The fewest levels of any factor that has more than one; 1 where none has."""
    return min((len(set(factor)) for factor in factors if len(set(factor)) > 1), default=1)


def paired_interval(
    one: Sequence[float],
    other: Sequence[float],
    *,
    factors: Sequence[Factor] = (),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The interval of the mean of one - other, cell by cell. Raises `ValueError` where the lengths differ."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    return bootstrap_interval(differences, factors=factors, level=level, resamples=resamples, seed=seed)


def _varying(factors: Sequence[Factor], count: int) -> list[npt.NDArray[np.int64]]:
    """The numbers of the levels of each factor that has more than one."""
    varying = []
    for factor in factors:
        if len(factor) != count:
            raise ValueError(f"a factor names {len(factor)} levels for {count} values")
        number = {level: n for n, level in enumerate(dict.fromkeys(factor))}
        if len(number) > 1:
            varying.append(np.array([number[level] for level in factor]))
    return varying

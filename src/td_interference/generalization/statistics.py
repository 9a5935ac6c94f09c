"""Correlations of interference, generalization gap and training size (figures 1, 2, 8).

Knows numbers only; never imports torch. What cannot enter a correlation is counted beside it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from td_interference.statistics import FEWEST_PAIRS as FEWEST_RUNS
from td_interference.statistics import pearson

Floats = NDArray[np.float64]


class LeftOut(NamedTuple):
    """Runs that a correlation does without, each counted once, for the first reason it has."""

    diverged: int  # a loss was not finite, or what is correlated is not
    not_positive: int  # interference is zero or negative and has no logarithm


class Correlation(NamedTuple):
    """Pearson's r (paper, eq. 9) over runs, with its bootstrap interval."""

    r: float  # NaN for fewer than `FEWEST_RUNS` runs, or where either side is constant
    low: float
    high: float
    n_runs: int  # that r is of
    left_out: LeftOut


class Line(NamedTuple):
    """Least-squares line of the gap against log interference: gap = intercept + slope · log."""

    slope: float  # NaN for fewer than `FEWEST_RUNS` runs, or one interference alone
    intercept: float
    n_runs: int
    left_out: LeftOut


class Resampling(NamedTuple):
    """How intervals are made: percentiles of r over resampled runs."""

    confidence: float  # the paper's is 0.9
    resamples: int
    generator: np.random.Generator


def interference_correlation(
    interference: ArrayLike, gap: ArrayLike, diverged: ArrayLike, resampling: Resampling
) -> Correlation:
    """Return r between log interference and generalization gap (figures 1 and 2).

    Args:
        interference: Mean function interference of each run, [N].
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
        resampling: Of the interval.
    """
    interference, gap, usable, left_out = _sorted_out(interference, gap, diverged)
    return _correlation(np.log(interference[usable]), gap[usable], left_out, resampling)


def correlation_by_size(
    n_train: ArrayLike,
    interference: ArrayLike,
    gap: ArrayLike,
    diverged: ArrayLike,
    resampling: Resampling,
) -> dict[int, Correlation]:
    """Return r between log interference and gap for each training size, ascending (figure 1).

    Args:
        n_train: n_T of each run, [N].
        interference: Mean function interference of each run, [N].
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
        resampling: Of the intervals.
    """
    sizes, interference, gap, diverged = map(np.asarray, (n_train, interference, gap, diverged))
    return {
        int(size): interference_correlation(
            interference[sizes == size], gap[sizes == size], diverged[sizes == size], resampling
        )
        for size in np.unique(sizes)
    }


def size_correlation(
    n_train: ArrayLike, gap: ArrayLike, diverged: ArrayLike, resampling: Resampling
) -> Correlation:
    """Return r between log n_T and generalization gap (section 4, figure 8).

    Args:
        n_train: n_T of each run, [N], at least 1.
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
        resampling: Of the interval.
    """
    sizes, gap, usable, left_out = _sorted_out(n_train, gap, diverged)
    return _correlation(np.log(sizes[usable]), gap[usable], left_out, resampling)


def capacity_correlation(
    capacity: ArrayLike, interference: ArrayLike, diverged: ArrayLike, resampling: Resampling
) -> Correlation:
    """Return r between log capacity and log interference (figure 9's trend as one number).

    Args:
        capacity: Of each run, [N]: width n_h, or the number of parameters.
        interference: Mean function interference of each run, [N].
        diverged: Whether it diverged, [N].
        resampling: Of the interval.
    """
    interference, capacity, usable, left_out = _sorted_out(interference, capacity, diverged)
    return _correlation(
        np.log(capacity[usable]), np.log(interference[usable]), left_out, resampling
    )


def regression_line(interference: ArrayLike, gap: ArrayLike, diverged: ArrayLike) -> Line:
    """Return the line of the gap against the natural log of interference (figure 2).

    Args:
        interference: Mean function interference of each run, [N].
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
    """
    interference, gap, usable, left_out = _sorted_out(interference, gap, diverged)
    x, y = np.log(interference[usable]), gap[usable]
    if len(x) < FEWEST_RUNS or np.ptp(x) == 0:
        return Line(np.nan, np.nan, len(x), left_out)
    line = stats.linregress(x, y)
    return Line(float(line.slope), float(line.intercept), len(x), left_out)


class _SortedOut(NamedTuple):
    """Two numbers of each run, [N] each, and which runs have both."""

    positive: Floats
    other: Floats
    usable: NDArray[np.bool_]
    left_out: LeftOut


def _sorted_out(positive: ArrayLike, other: ArrayLike, diverged: ArrayLike) -> _SortedOut:
    positive, other = np.asarray(positive, np.float64), np.asarray(other, np.float64)
    lost = np.asarray(diverged, bool) | ~np.isfinite(positive) | ~np.isfinite(other)
    not_positive = ~lost & (positive <= 0)
    left_out = LeftOut(int(lost.sum()), int(not_positive.sum()))
    return _SortedOut(positive, other, ~lost & ~not_positive, left_out)


def _correlation(x: Floats, y: Floats, left_out: LeftOut, resampling: Resampling) -> Correlation:
    r, low, high, n_runs = pearson(
        x,
        y,
        confidence=resampling.confidence,
        resamples=resampling.resamples,
        generator=resampling.generator,
    )
    return Correlation(r, low, high, n_runs, left_out)

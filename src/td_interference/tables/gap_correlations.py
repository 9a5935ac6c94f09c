"""Correlations of interference, generalization gap and training size (figures 1, 2, 8).

Knows numbers only; never imports torch. What cannot enter a correlation is counted beside it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from td_interference.statistics import Floats, constant, lost
from td_interference.tables.correlations import FEWEST_PAIRS as FEWEST_RUNS
from td_interference.tables.correlations import pearson


class LeftOut(NamedTuple):
    """Runs that a correlation does without, each counted once, for the first reason it has."""

    diverged: int  # a loss was not finite, or what is correlated is not, or is out of range
    not_positive: int  # interference is zero or negative and has no logarithm


class Correlation(NamedTuple):
    """Pearson's r (paper, eq. 9) over runs, with its interval over cells."""

    r: float  # NaN for fewer than `FEWEST_RUNS` runs, or where either side is constant
    low: float  # NaN, as is `high`, for too few cells (`correlations.pearson`)
    high: float
    n_runs: int  # that r is of
    n_cells: int  # these runs are of so many; runs of one differ in seed alone
    left_out: LeftOut


class Line(NamedTuple):
    """Least-squares line of the gap against log interference: gap = intercept + slope · log."""

    slope: float  # NaN for fewer than `FEWEST_RUNS` runs, or one interference alone
    intercept: float
    n_runs: int
    left_out: LeftOut


class Design(NamedTuple):
    """How the runs of an experiment lie on its grid."""

    cell: ArrayLike  # of each run, [N]: capacity and n_T, by any name
    n_train: ArrayLike  # n_T of each run, [N], at least 1: a fixed factor, within which cells vary


def interference_correlation(
    interference: ArrayLike, gap: ArrayLike, diverged: ArrayLike, design: Design, confidence: float
) -> Correlation:
    """Return r between log interference and generalization gap (figures 1 and 2).

    Args:
        interference: Mean function interference of each run, [N].
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
        design: Of the runs.
        confidence: Of the interval; the paper's is 0.9.
    """
    interference, gap, usable, left_out = _sorted_out(interference, gap, diverged)
    x = np.log(interference[usable])
    return _correlation(x, gap[usable], left_out, _chosen(design, usable), confidence)


def correlation_by_size(
    interference: ArrayLike, gap: ArrayLike, diverged: ArrayLike, design: Design, confidence: float
) -> dict[int, Correlation]:
    """Return r between log interference and gap for each training size, ascending (figure 1).

    Args:
        interference: Mean function interference of each run, [N].
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
        design: Of the runs.
        confidence: Of the intervals.
    """
    interference, gap, diverged = map(np.asarray, (interference, gap, diverged))
    sizes = np.asarray(design.n_train)
    return {
        int(size): interference_correlation(
            interference[sizes == size],
            gap[sizes == size],
            diverged[sizes == size],
            _chosen(design, sizes == size),
            confidence,
        )
        for size in np.unique(sizes)
    }


def size_correlation(
    gap: ArrayLike, diverged: ArrayLike, design: Design, confidence: float
) -> Correlation:
    """Return r between log n_T and generalization gap (section 4, figure 8).

    Args:
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
        design: Of the runs.
        confidence: Of the interval.
    """
    sizes, gap, usable, left_out = _sorted_out(design.n_train, gap, diverged)
    x = np.log(sizes[usable])
    return _correlation(x, gap[usable], left_out, _chosen(design, usable), confidence)


def capacity_correlation(
    capacity: ArrayLike,
    interference: ArrayLike,
    diverged: ArrayLike,
    design: Design,
    confidence: float,
) -> Correlation:
    """Return r between log capacity and log interference (figure 9's trend as one number).

    Args:
        capacity: Of each run, [N]: width n_h, or the number of parameters.
        interference: Mean function interference of each run, [N].
        diverged: Whether it diverged, [N].
        design: Of the runs.
        confidence: Of the interval.
    """
    interference, capacity, usable, left_out = _sorted_out(interference, capacity, diverged)
    x, y = np.log(capacity[usable]), np.log(interference[usable])
    return _correlation(x, y, left_out, _chosen(design, usable), confidence)


def regression_line(interference: ArrayLike, gap: ArrayLike, diverged: ArrayLike) -> Line:
    """Return the line of the gap against the natural log of interference (figure 2).

    Args:
        interference: Mean function interference of each run, [N].
        gap: Generalization gap of each run, [N].
        diverged: Whether it diverged, [N].
    """
    interference, gap, usable, left_out = _sorted_out(interference, gap, diverged)
    x, y = np.log(interference[usable]), gap[usable]
    if len(x) < FEWEST_RUNS or constant(x, scale=1):
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
    without = lost(diverged, positive, other)
    not_positive = ~without & (positive <= 0)
    left_out = LeftOut(int(without.sum()), int(not_positive.sum()))
    return _SortedOut(positive, other, ~without & ~not_positive, left_out)


def _chosen(design: Design, runs: NDArray[np.bool_]) -> Design:
    return Design(np.asarray(design.cell)[runs], np.asarray(design.n_train)[runs])


def _correlation(
    x: Floats, y: Floats, left_out: LeftOut, design: Design, confidence: float
) -> Correlation:
    correlation = pearson(x, y, confidence=confidence, cells=design.cell, strata=design.n_train)
    # Logarithms and gaps are of numbers near 1, and rounded as those are.
    if constant(x, scale=1) or constant(y, scale=1):
        correlation = correlation._replace(r=np.nan, low=np.nan, high=np.nan)
    return Correlation(*correlation, left_out)

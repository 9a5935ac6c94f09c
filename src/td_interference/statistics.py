"""Intervals: how sure a mean, a difference or a correlation is. Numbers only; never imports torch.

The unit is the run, whose values are independent of each other's; what is drawn within a run says
nothing about the next one. Which intervals cover what they promise, for normal and for skewed
values, was found by simulation and is simulated again in the tests.
"""

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

# From so many runs on Student's interval is widened by a bootstrap where the runs are skewed.
# Fewer runs say too little about their own skewness.
FEWEST_RESAMPLED = 10

# Measurements come out of float32 networks: what differs by less than this, relative to its size,
# is the same number.
ROUNDING = 8 * float(np.finfo(np.float32).eps)

# From here on a square overflows float32: no inner product of such numbers can be trusted.
LARGEST = float(np.sqrt(np.finfo(np.float32).max))


class Interval(NamedTuple):
    """A mean with its interval, elementwise; all of one shape."""

    mean: Floats
    low: Floats  # NaN where fewer than two runs contribute, as is `high`
    high: Floats
    n: NDArray[np.int64]  # runs that contribute


def mean_interval(
    values: ArrayLike, *, confidence: float, resamples: int, generator: np.random.Generator
) -> Interval:
    """Return the mean of independent values with its interval, at each position by itself.

    Student's t, mean ± t(n - 1) · sd / √n. From `FEWEST_RESAMPLED` values on, each side reaches as
    far as the studentised bootstrap (bootstrap-t) if that is further: so it does where values are
    skewed.

    Args:
        values: One per run, [runs, ...]. NaN marks what was not measured: it neither counts nor
            contributes.
        confidence: Of the interval, e.g. 0.95.
        resamples: Of the bootstrap.
        generator: For the resampling.

    Returns:
        Intervals of shape [...].
    """
    values = np.asarray(values, dtype=np.float64)
    flat = values.reshape(len(values), -1)
    known = ~np.isnan(flat)
    bounds = np.full((3, flat.shape[1]), np.nan)
    patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
    for number, contributes in enumerate(patterns.T):
        at = np.flatnonzero(pattern_of.ravel() == number)
        own = flat[contributes][:, at]
        if len(own):
            bounds[0, at] = own.mean(axis=0)
        if len(own) > 1:
            bounds[1:, at] = _bounds(own, confidence, resamples, generator)
    mean, low, high = bounds.reshape(3, *values.shape[1:])
    return Interval(mean, low, high, known.sum(axis=0).reshape(values.shape[1:]))


def _bounds(
    values: Floats, confidence: float, resamples: int, generator: np.random.Generator
) -> Floats:
    """Return the lower and upper bounds, [2, P], of the means of at least two values, [n, P]."""
    n, mean = len(values), values.mean(axis=0)
    error = values.std(axis=0, ddof=1) / np.sqrt(n)
    reach = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    student = np.stack([mean - reach, mean + reach])
    if n < FEWEST_RESAMPLED:
        return student
    low, high = _studentised(values - mean, confidence, resamples, generator)
    bootstrap = np.stack([mean - high * error, mean - low * error])
    return np.stack(
        [np.fmin(student[0], bootstrap[0]), np.fmax(student[1], bootstrap[1])]
    )  # the bootstrap's are NaN where all values are equal


def _studentised(
    centred: Floats, confidence: float, resamples: int, generator: np.random.Generator
) -> Floats:
    """Return the quantiles, [2, P], of t = shift of the mean / its standard error over resamples.

    Resamples of one value alone have no standard error and are left out.
    """
    n = len(centred)
    drawn = generator.multinomial(n, np.full(n, 1 / n), size=resamples)  # how often each value is
    shift = drawn @ centred / n
    variance = drawn @ centred**2 / n - shift**2
    variance[variance <= 1e-12 * (centred**2).mean(axis=0)] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of positions where all are left out
        tail = (1 - confidence) / 2
        return np.nanquantile(shift / np.sqrt(variance / (n - 1)), (tail, 1 - tail), axis=0)


class Estimate(NamedTuple):
    """One number with its interval."""

    value: float
    low: float  # NaN, as is `high`, where too little is known
    high: float


def difference_of_means(a: ArrayLike, b: ArrayLike, *, confidence: float) -> Estimate:
    """Return the mean of `a` minus that of `b` with Welch's interval, for unequal variances.

    Args:
        a: Independent values, [N].
        b: Independent values, of no relation to those of `a`, [M].
        confidence: Of the interval, e.g. 0.95.

    Returns:
        The difference; without bounds where one side has fewer than two values.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    difference = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Estimate(difference, np.nan, np.nan)
    if constant(a) and constant(b):
        return Estimate(difference, difference, difference)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(confidence)
    return Estimate(difference, float(interval.low), float(interval.high))


def mean_where_known(values: Any, axis: int = 0) -> Floats:
    """Return the mean over `axis` of what is not NaN; NaN, without a warning, where all is.

    Args:
        values: Anything numpy makes an array of.
        axis: To average over.
    """
    values = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    n = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def constant(values: ArrayLike, scale: float = 0.0) -> bool:
    """Whether finite values are all the same but for rounding.

    Args:
        values: [N].
        scale: Size of what they were computed from, where that may be larger than they are: the
            difference of two numbers near 1 is rounded as those are.
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return True
    return bool(np.ptp(values) <= ROUNDING * max(float(np.abs(values).max()), scale))


def out_of_range(values: ArrayLike) -> NDArray[np.bool_]:
    """Whether values are infinite or so large (`LARGEST`) that float32 cannot measure with them.

    Args:
        values: Of any shape. NaN is not out of range.
    """
    return np.abs(np.asarray(values, dtype=np.float64)) > LARGEST


def lost(diverged: ArrayLike, *values: ArrayLike) -> NDArray[np.bool_]:
    """Return which runs count as diverged: they did, or one of their numbers is out of range.

    Args:
        diverged: Of each run, [N] bool.
        values: Numbers of each, [N]; NaN and what is `out_of_range` are none.
    """
    found = np.asarray(diverged, dtype=bool)
    for numbers in values:
        found = found | np.isnan(np.asarray(numbers, dtype=np.float64)) | out_of_range(numbers)
    return found


def interval_note(counts: Iterable[int], confidence: float) -> str:
    """Say in words, for a caption, which intervals means over so many runs have.

    Args:
        counts: Runs behind each mean; 0 where nothing was measured.
        confidence: Of the intervals.
    """
    counts = [n for n in counts if n]
    if max(counts, default=0) < 2:
        return "no interval with one run"
    some = ", where there are two" if min(counts) < 2 else ""
    return f"{confidence:.0%} interval over runs{some}"

"""Intervals: how sure a mean over runs is. Knows numbers only; never imports torch."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# Below this many runs, resampling runs alone gives intervals that mean little: 3 runs have only
# 10 distinct resamples. Then anchor states are resampled within the drawn runs as well.
ENOUGH_RUNS = 5

FEWEST_PAIRS = 3  # of a correlation: any two points lie on a line


class Interval(NamedTuple):
    """A mean with its bootstrap interval, elementwise; all of one shape."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def mean_over_runs(
    runs: Sequence[NDArray[Any]],
    *,
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> Interval:
    """Return the mean over runs of each run's mean over its units, with a percentile bootstrap.

    With at least `ENOUGH_RUNS` runs the runs are resampled. With fewer, runs are resampled and
    then units within each drawn run (two stages). With one run only its units are.

    Args:
        runs: One array per run, [units, ...]; a unit is what was drawn independently within a run
            (a segment of anchor states, a minibatch). NaN marks what was not measured.
        confidence: Of the interval, e.g. 0.95.
        resamples: Bootstrap resamples.
        generator: For the resampling.

    Returns:
        Intervals of shape [...]; NaN where no run measured anything.
    """
    run_means = np.stack([mean_where_known(run) for run in runs])
    if len(runs) >= ENOUGH_RUNS:
        return _over_runs(run_means, confidence, resamples, generator)
    draws = np.empty((resamples, *run_means.shape[1:]))
    for draw in range(resamples):
        chosen = generator.integers(0, len(runs), len(runs))
        draws[draw] = mean_where_known(
            [mean_where_known(_resampled(runs[run], generator)) for run in chosen]
        )
    tail = (1 - confidence) / 2
    bounds = np.full((2, *draws.shape[1:]), np.nan)
    measured = ~np.isnan(draws).all(axis=0)
    bounds[:, measured] = np.nanquantile(draws[:, measured], (tail, 1 - tail), axis=0)
    return Interval(mean_where_known(run_means), bounds[0], bounds[1])


class Correlation(NamedTuple):
    """Pearson's r with its bootstrap interval; NaN where it is not defined."""

    r: float
    low: float
    high: float
    n: int  # pairs


def pearson(
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> Correlation:
    """Return Pearson's correlation of x and y, with a percentile bootstrap over pairs.

    Resamples in which x or y is constant have no r and are left out. Fewer than three pairs, or a
    constant x or y, have no r at all.

    Args:
        x: [n].
        y: [n].
        confidence: Of the interval, e.g. 0.95.
        resamples: Bootstrap resamples.
        generator: For the resampling.
    """
    n = len(x)
    if n < FEWEST_PAIRS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(np.nan, np.nan, np.nan, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant resamples, whose r is NaN
        result = stats.bootstrap(
            (x, y),
            lambda x, y, axis: stats.pearsonr(x, y, axis=axis).statistic,
            paired=True,
            n_resamples=resamples,
            confidence_level=confidence,
            method="percentile",
            rng=generator,
        )
        r = float(stats.pearsonr(x, y).statistic)
    known = result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]
    if not len(known):
        return Correlation(r, np.nan, np.nan, n)
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return Correlation(r, float(low), float(high), n)


def _resampled(units: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    return units[generator.integers(0, len(units), len(units))]


def mean_where_known(values: Any, axis: int = 0) -> NDArray[np.float64]:
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


def _over_runs(
    run_means: NDArray[np.float64],
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> Interval:
    result = stats.bootstrap(
        (run_means,),
        np.mean,
        axis=0,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=generator,
    ).confidence_interval
    return Interval(run_means.mean(axis=0), result.low, result.high)


def resampling_note(n_runs: int, unit: str) -> str:
    """Say in words, for a caption, what `mean_over_runs` resamples.

    Args:
        n_runs: Runs behind each mean.
        unit: Plural name of the units within a run; "" where a run is one unit.
    """
    return f"runs and {unit}" if unit and n_runs < ENOUGH_RUNS else "runs"

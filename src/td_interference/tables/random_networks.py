"""The tables of ρ' at initialisation: its distribution, and how far eq. 36 holds (section 6)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from td_interference.planning.studies import Study
from td_interference.seeds import numpy_generator
from td_interference.statistics import Floats, mean_interval
from td_interference.tables.reduce import MeasuredStudy

TABLES = {
    "random_networks_summary": [{"experiment": "random_networks", "metric": "random_networks"}],
    "random_networks_histogram": [{"experiment": "random_networks", "metric": "random_networks"}],
    "random_networks_step_sizes": [{"experiment": "random_networks", "metric": "random_networks"}],
}

STATISTICS = (  # rows of the summary, in this order
    "mean",
    "median",
    "quantile_05",
    "quantile_25",
    "quantile_75",
    "quantile_95",
    "skewness",
    "share_negative",  # 0..1
)
BINS_PER_DECADE = 5


def random_networks_summary(
    measured: Sequence[MeasuredStudy], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the statistics of ρ' over all pairs of all networks of each study.

    Returns:
        study, network, hidden, normal, statistic (in the order of `STATISTICS`), value, low, high,
        n (networks). Intervals are over networks, since pairs within one depend on each other:
        those of the mean as all means' (`statistics.mean_interval`), the others Student's t with
        the standard error of a bootstrap over networks. That of the skewness is too narrow where
        tails are heavy: no few networks show how heavy.
    """
    tables = []
    for study, arrays in measured:
        value, low, high = _summary(arrays["change"], statistics, f"{study.run_id}-summary")
        columns = {"statistic": STATISTICS, "value": value, "low": low, "high": high}
        tables.append(_rows(study, columns, len(arrays["change"])))
    return pl.concat(tables)


def random_networks_histogram(
    measured: Sequence[MeasuredStudy], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return how ρ' over all pairs of all networks of each study is spread over `bin_edges`.

    Returns:
        study, network, hidden, normal, bin_low, bin_high, count, share (of all pairs, 0..1),
        n (networks).
    """
    tables = []
    for study, arrays in measured:
        changes = arrays["change"]
        edges = bin_edges(changes)
        count = np.histogram(changes, edges)[0]
        bins = {"bin_low": edges[:-1], "bin_high": edges[1:], "count": count}
        tables.append(_rows(study, {**bins, "share": count / changes.size}, len(changes)))
    return pl.concat(tables)


def random_networks_step_sizes(
    measured: Sequence[MeasuredStudy], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the relative error of eq. 36 against real steps of each size, median over networks.

    Returns:
        study, network, hidden, normal, step_size, median, low, high, n (networks). The bounds are
        the networks of such ranks that the median's own lies between with at least that
        confidence; NaN where the networks are too few for it (95% takes six).
    """
    tables = []
    for study, arrays in measured:
        errors = arrays["relative_error"]
        tests = [stats.quantile_test(column, q=0, p=0.5) for column in errors.T]
        bounds = [test.confidence_interval(statistics["confidence"]) for test in tests]
        columns = {
            "step_size": arrays["step_size"],
            "median": np.median(errors, axis=0),
            "low": [float(interval.low) for interval in bounds],
            "high": [float(interval.high) for interval in bounds],
        }
        tables.append(_rows(study, columns, len(errors)))
    return pl.concat(tables)


def _rows(study: Study, columns: Mapping[str, Any], n: int) -> pl.DataFrame:
    """Return columns of one study between what it is of and its number of networks."""
    key = {name: getattr(study, name) for name in ("network", "hidden", "normal")}
    ends = {"study": study.run_id, **key}, {"n": n}
    before, after = ([pl.lit(own[name]).alias(name) for name in own] for own in ends)
    return pl.DataFrame(columns).select(*before, *columns, *after)


def bin_edges(changes: Floats) -> Floats:
    """Return the edges of bins that cover `changes`, of equal width on a symlog axis.

    Around 0 they are even, up to the power of ten that at most a tenth of the |ρ'| are below;
    beyond it there are `BINS_PER_DECADE` of equal ratio to each power of ten, as many on either
    side.

    Args:
        changes: ρ', any shape, not all of them 0.

    Returns:
        Ascending, symmetric, ending in a power of ten above every |ρ'|.
    """
    size = np.abs(changes[changes != 0])
    low = int(np.floor(np.log10(np.quantile(size, 0.1))))
    high = int(np.floor(np.log10(size.max()))) + 1
    beyond = np.logspace(low, high, BINS_PER_DECADE * (high - low) + 1)
    around_zero = np.linspace(-beyond[0], beyond[0], 2 * BINS_PER_DECADE + 1)
    return np.concatenate([-beyond[:0:-1], around_zero, beyond[1:]])


def _distribution(changes: Floats) -> Floats:
    """Return the `STATISTICS` of all values."""
    quantiles = np.quantile(changes, (0.5, 0.05, 0.25, 0.75, 0.95))
    skewness = stats.skew(changes, axis=None)
    return np.array([changes.mean(), *quantiles, skewness, np.mean(changes < 0)])


def _summary(networks: Floats, statistics: Mapping[str, Any], stream: str) -> tuple[Floats, ...]:
    """Return the `STATISTICS` of ρ', [networks, pairs], and the lower and upper bounds of each."""
    n, generator = len(networks), numpy_generator(stream, "bootstrap")
    value = _distribution(networks)
    drawn = generator.integers(0, n, (statistics["resamples"], n))
    spread = np.std([_distribution(networks[numbers]) for numbers in drawn], axis=0, ddof=1)
    # The bootstrap's variance divides by n where an unbiased one divides by n - 1.
    reach = stats.t.ppf((1 + statistics["confidence"]) / 2, n - 1) * spread * np.sqrt(n / (n - 1))
    low, high = value - reach, value + reach
    share = STATISTICS.index("share_negative")
    low[share], high[share] = np.clip([low[share], high[share]], 0, 1)
    mean = mean_interval(
        networks.mean(axis=1),
        confidence=statistics["confidence"],
        resamples=statistics["resamples"],
        generator=generator,
    )
    first = STATISTICS.index("mean")
    low[first], high[first] = mean.low, mean.high
    return value, low, high

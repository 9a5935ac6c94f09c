"""The tables of ρ' at initialisation: its distribution, and how far eq. 36 holds (section 6)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from td_interference.random_studies import Study
from td_interference.seeds import numpy_generator
from td_interference.tables.reduce import MeasuredStudy

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


class Estimates(NamedTuple):
    """Some statistics and their bootstrap intervals, [S] each."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def random_networks_summary(
    measured: Sequence[MeasuredStudy], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the statistics of ρ' over all pairs of all networks of each study.

    Args:
        measured: The studies.
        statistics: "confidence" and "resamples" of the bootstrap, which resamples whole networks,
            since pairs within one depend on each other.

    Returns:
        study, network, hidden, normal, statistic (in the order of `STATISTICS`), value, low, high,
        n (networks).
    """
    rows = []
    for study, arrays in measured:
        estimates = _over_networks(
            arrays["change"], _distribution, statistics, f"{study.run_id}-summary"
        )
        rows += [
            {**_key(study), "statistic": name, "value": value, "low": low, "high": high, "n": n}
            for n in [len(arrays["change"])]
            for name, value, low, high in zip(STATISTICS, *estimates, strict=True)
        ]
    return pl.DataFrame(rows)


def random_networks_histogram(
    measured: Sequence[MeasuredStudy], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return how ρ' over all pairs of all networks of each study is spread over `bin_edges`.

    Args:
        measured: The studies.
        statistics: Not used; a histogram has no intervals.

    Returns:
        study, network, hidden, normal, bin_low, bin_high, count, share (of all pairs, 0..1),
        n (networks).
    """
    tables = []
    for study, arrays in measured:
        changes = arrays["change"]
        edges = bin_edges(changes)
        count = np.histogram(changes, edges)[0]
        columns = {"bin_low": edges[:-1], "bin_high": edges[1:], "count": count}
        key = [pl.lit(value).alias(name) for name, value in _key(study).items()]
        tables.append(
            pl.DataFrame(columns).select(
                *key,
                *columns,
                (pl.col("count") / changes.size).alias("share"),
                pl.lit(len(changes)).alias("n"),
            )
        )
    return pl.concat(tables)


def random_networks_step_sizes(
    measured: Sequence[MeasuredStudy], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the relative error of eq. 36 against real steps of each size, median over networks.

    Args:
        measured: The studies.
        statistics: "confidence" and "resamples" of the bootstrap over networks.

    Returns:
        study, network, hidden, normal, step_size, median, low, high, n (networks).
    """
    rows = []
    for study, arrays in measured:
        errors = arrays["relative_error"]
        estimates = _over_networks(
            errors,
            lambda drawn: np.median(drawn, axis=0),
            statistics,
            f"{study.run_id}-step_sizes",
        )
        rows += [
            {**_key(study), "step_size": step, "median": value, "low": low, "high": high, "n": n}
            for n in [len(errors)]
            for step, value, low, high in zip(arrays["step_size"], *estimates, strict=True)
        ]
    return pl.DataFrame(rows)


def bin_edges(changes: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _key(study: Study) -> dict[str, str | int]:
    return {
        "study": study.run_id,
        "network": study.network,
        "hidden": study.hidden,
        "normal": study.normal,
    }


def _distribution(changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the `STATISTICS` of all values."""
    quantiles = np.quantile(changes, (0.5, 0.05, 0.25, 0.75, 0.95))
    skewness = stats.skew(changes, axis=None)
    return np.array([changes.mean(), *quantiles, skewness, np.mean(changes < 0)])


def _over_networks(
    networks: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    statistics: Mapping[str, Any],
    stream: str,
) -> Estimates:
    """Return statistics of all networks with percentile intervals, resampling networks.

    Args:
        networks: What was measured of each, [networks, ...].
        statistic: Of as many networks, [S].
        statistics: "confidence" and "resamples".
        stream: Name of the random stream.
    """

    def of_drawn(drawn: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        return np.moveaxis(
            np.apply_along_axis(lambda numbers: statistic(networks[numbers]), axis, drawn), -1, 0
        )

    interval = stats.bootstrap(
        (np.arange(len(networks)),),
        of_drawn,
        vectorized=True,
        n_resamples=statistics["resamples"],
        confidence_level=statistics["confidence"],
        method="percentile",
        rng=numpy_generator(stream, "bootstrap"),
    ).confidence_interval
    return Estimates(statistic(networks), interval.low, interval.high)

"""Tables of the generalization experiments: runs, their gaps and correlations (figures 1, 2, 8).

Correlations are of the trained networks, the last measured step of each run; what is of the whole
training says so. `pair` is which gradients an interference is the mean over: train_train,
train_test or test_test. What cannot enter a number is counted beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from td_interference.seeds import numpy_generator
from td_interference.statistics import Floats, constant, lost, mean_interval
from td_interference.tables.correlations import FEWEST_PAIRS, pearson
from td_interference.tables.reduce import MeasuredGroup

TABLES = {
    "generalization_runs": [{"experiment": "generalization", "metric": "generalization"}],
    "generalization_by_size": [{"experiment": "generalization", "metric": "generalization"}],
    "generalization_lines": [{"experiment": "generalization", "metric": "generalization"}],
    "gap_by_size": [{"experiment": "generalization", "metric": "generalization"}],
    "gap_correlations": [{"experiment": "generalization", "metric": "generalization"}],
}

PAIRS = ("train_train", "train_test", "test_test")

EXPERIMENT = ("name", "data", "dataset", "task")  # the first columns of every table


def generalization_runs(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return every measured step of every run, in order of experiment, capacity, n_T, seed, step.

    Returns:
        name, data, n_parameters, and the fields of `storage.GENERALIZATION`.
    """
    tables = []
    for group, arrays, n_parameters in measured:
        columns = {
            name: array.astype(str) if array.dtype.kind == "S" else array
            for name, array in arrays.items()
        }
        own = {"name": group.name, "data": group.data, "n_parameters": n_parameters}
        tables.append(
            pl.DataFrame(columns).select(*(pl.lit(own[key]).alias(key) for key in own), *columns)
        )
    names = dict.fromkeys(item.group.name for item in measured)
    return pl.concat(tables).sort(
        pl.col("name").replace_strict({name: place for place, name in enumerate(names)}),
        *("hidden", "extra_layers", "n_train", "seed", "agent_step", "update_step"),
        maintain_order=True,
    )


def generalization_by_size(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return r of log function interference and gap over the runs of each training size.

    Returns:
        name, data, dataset, task, pair, n_train, and the columns of `correlation`.
    """
    return pl.DataFrame(
        [
            {
                **key,
                "pair": pair,
                "n_train": n_train,
                **correlation(own, interference(own, pair), gaps(own), statistics),
            }
            for key, runs in by_experiment(_trained(measured))
            for pair in PAIRS
            for n_train, own in _by_size(runs)
        ]
    )


def generalization_lines(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the line of the gap against log function interference over all runs, and their r.

    Returns:
        name, data, dataset, task, pair, slope (gap per unit of the natural logarithm),
        intercept, and the columns of `correlation`.
    """
    return pl.DataFrame(
        [
            {
                **key,
                "pair": pair,
                **least_squares(runs, interference(runs, pair), gaps(runs)),
                **correlation(runs, interference(runs, pair), gaps(runs), statistics),
            }
            for key, runs in by_experiment(_trained(measured))
            for pair in PAIRS
        ]
    )


def gap_by_size(measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """Return the mean gap over the runs of each training size.

    Returns:
        name, data, dataset, task, n_train, mean, low, high, n, diverged.
    """
    rows = []
    for key, runs in by_experiment(_trained(measured)):
        for n_train, own in _by_size(runs):
            left_out = lost(own["diverged"], gaps(own))
            stream = f"{key['name']}-n{n_train}-gap"
            means = mean_columns(gaps(own)[~left_out], statistics, stream)
            rows.append({**key, "n_train": n_train, **means, "diverged": int(left_out.sum())})
    return pl.DataFrame(rows)


def gap_correlations(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return r of log n_T and gap over all runs of each experiment (section 4, figure 8).

    Returns:
        name, data, dataset, task, and the columns of `correlation`; not_positive is 0.
    """
    return pl.DataFrame(
        [
            {**key, **correlation(runs, runs["n_train"].to_numpy(), gaps(runs), statistics)}
            for key, runs in by_experiment(_trained(measured))
        ]
    )


def _trained(measured: Sequence[MeasuredGroup]) -> pl.DataFrame:
    """Return the last measured step of each run."""
    return generalization_runs(measured, {}).group_by("run_id", maintain_order=True).last()


def by_experiment(runs: pl.DataFrame) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    """Yield each experiment's own columns, and its runs."""
    for values, own in runs.group_by(EXPERIMENT, maintain_order=True):
        yield dict(zip(EXPERIMENT, values, strict=True)), own


def _by_size(runs: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield each training size, ascending, and its runs."""
    for size in runs["n_train"].unique().sort():
        yield size, runs.filter(pl.col("n_train") == size)


def interference(runs: pl.DataFrame, pair: str) -> Floats:
    """Return the mean function interference of each run over pairs of one kind, [N]."""
    return runs[f"function_interference_{pair}"].to_numpy()


def gaps(runs: pl.DataFrame) -> Floats:
    """Return the generalization gap of each run, [N]."""
    return runs["generalization_gap"].to_numpy()


def usable_runs(
    runs: pl.DataFrame, positive: Floats, *others: Floats
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which runs have a logarithm and all other numbers, and how many have not, and why.

    Args:
        runs: With the column diverged.
        positive: What the logarithm is taken of, [N].
        others: Other numbers of each, [N].

    Returns:
        [N], and the runs left out, each counted once, for the first reason it has: diverged (its
        training did, or a number is not finite or out of range), not_positive.
    """
    without = lost(runs["diverged"], positive, *others)
    not_positive = ~without & (positive <= 0)
    counts = {"diverged": int(without.sum()), "not_positive": int(not_positive.sum())}
    return ~without & ~not_positive, counts


def correlation(
    runs: pl.DataFrame, positive: Floats, other: Floats, statistics: Mapping[str, Any]
) -> dict[str, float]:
    """Return Pearson's r (paper, eq. 9) of a logarithm and another number over runs.

    Args:
        runs: Columns diverged, cell_id (capacity and n_T, as runs that differ in seed alone share)
            and n_train (n_T: a fixed factor, within which cells vary).
        positive: Of each run, [N]: r is of its natural logarithm.
        other: Of each run, [N].
        statistics: "confidence" of the interval; the paper's is 0.9.

    Returns:
        r, low, high (of the interval, over cells), n (runs that r is of), cells (that these runs
        are of), diverged and not_positive (runs left out). r, low and high are NaN where
        `correlations.pearson` has none.
    """
    usable, left_out = usable_runs(runs, positive, other)
    x, y, kept = np.log(positive[usable]), other[usable], runs.filter(usable)
    cells, strata = kept["cell_id"].to_numpy(), kept["n_train"].to_numpy()
    found = pearson(x, y, confidence=statistics["confidence"], cells=cells, strata=strata)
    # Logarithms and gaps are of numbers near 1, and rounded as those are.
    if constant(x, scale=1) or constant(y, scale=1):
        found = found._replace(r=np.nan, low=np.nan, high=np.nan)
    return {**found._asdict(), **left_out}


def least_squares(runs: pl.DataFrame, positive: Floats, other: Floats) -> dict[str, float]:
    """Return slope and intercept of other = intercept + slope · log positive over runs.

    They are NaN for fewer than `FEWEST_PAIRS` runs, or one value of `positive` alone.

    Args:
        runs: With the column diverged.
        positive: Of each run, [N].
        other: Of each run, [N].
    """
    usable, _ = usable_runs(runs, positive, other)
    x = np.log(positive[usable])
    if len(x) < FEWEST_PAIRS or constant(x, scale=1):
        return {"slope": np.nan, "intercept": np.nan}
    line = stats.linregress(x, other[usable])
    return {"slope": float(line.slope), "intercept": float(line.intercept)}


def mean_columns(runs: Floats, statistics: Mapping[str, Any], stream: str) -> dict[str, float]:
    """Return mean, low, high and n of one number of each run, [N]; NaN and 0 for none."""
    if not len(runs):
        return {**dict.fromkeys(("mean", "low", "high"), np.nan), "n": 0}
    interval = mean_interval(
        runs,
        confidence=statistics["confidence"],
        resamples=statistics["resamples"],
        generator=numpy_generator(stream, "bootstrap"),
    )
    bounds = {name: float(getattr(interval, name)) for name in ("mean", "low", "high")}
    return {**bounds, "n": len(runs)}

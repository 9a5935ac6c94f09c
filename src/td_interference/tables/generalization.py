"""Tables of the generalization experiments: runs, their gaps and correlations (figures 1, 2, 8).

Correlations are of the trained networks, the last measured step of each run; what is of the whole
training says so. `pair` is which gradients an interference is the mean over: train_train,
train_test or test_test.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from td_interference.seeds import numpy_generator
from td_interference.statistics import lost, mean_interval
from td_interference.tables.gap_correlations import (
    Correlation,
    Design,
    correlation_by_size,
    interference_correlation,
    regression_line,
    size_correlation,
)
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

    Args:
        measured: The groups.
        statistics: Not used; single runs have no intervals.

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
        table = pl.DataFrame(columns)
        tables.append(
            table.select(*(pl.lit(value).alias(key) for key, value in own.items()), *table.columns)
        )
    order = {
        name: place for place, name in enumerate(dict.fromkeys(m.group.name for m in measured))
    }
    return pl.concat(tables).sort(
        pl.col("name").replace_strict(order),
        *("hidden", "extra_layers", "n_train", "seed", "agent_step", "update_step"),
        maintain_order=True,
    )


def generalization_by_size(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return r of log function interference and gap over the runs of each training size.

    Args:
        measured: The groups.
        statistics: "confidence" of the intervals, which are over cells.

    Returns:
        name, data, dataset, task, pair, n_train, r, low, high, n (runs that r is of), cells
        (these runs are of), diverged, not_positive (runs left out).
    """
    rows = []
    for key, runs in by_experiment(_trained(measured)):
        for pair in PAIRS:
            correlations = correlation_by_size(
                runs[f"function_interference_{pair}"],
                runs["generalization_gap"],
                runs["diverged"],
                design_of(runs),
                statistics["confidence"],
            )
            rows += [
                {**key, "pair": pair, "n_train": n_train, **correlation_columns(correlation)}
                for n_train, correlation in correlations.items()
            ]
    return pl.DataFrame(rows)


def generalization_lines(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the line of the gap against log function interference over all runs, and their r.

    Args:
        measured: The groups.
        statistics: "confidence" of the intervals, which are over cells.

    Returns:
        name, data, dataset, task, pair, slope (gap per unit of the natural logarithm),
        intercept, r, low, high (of r), n, cells, diverged, not_positive.
    """
    rows = []
    for key, runs in by_experiment(_trained(measured)):
        for pair in PAIRS:
            sides = (
                runs[f"function_interference_{pair}"],
                runs["generalization_gap"],
                runs["diverged"],
            )
            line = regression_line(*sides)
            correlation = interference_correlation(
                *sides, design_of(runs), statistics["confidence"]
            )
            fitted = {"slope": line.slope, "intercept": line.intercept}
            rows.append({**key, "pair": pair, **fitted, **correlation_columns(correlation)})
    return pl.DataFrame(rows)


def gap_by_size(measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """Return the mean gap over the runs of each training size.

    Args:
        measured: The groups.
        statistics: "confidence" of the intervals, and "resamples" of their bootstrap.

    Returns:
        name, data, dataset, task, n_train, mean, low, high, n, diverged.
    """
    rows = []
    for key, runs in by_experiment(_trained(measured)):
        for (n_train,), own in runs.sort("n_train", maintain_order=True).group_by(
            "n_train", maintain_order=True
        ):
            gap = own["generalization_gap"].to_numpy()
            left_out = lost(own["diverged"].to_numpy(), gap)
            stream = f"{key['name']}-n{n_train}-gap"
            means = mean_columns(gap[~left_out], statistics, stream)
            rows.append(
                {
                    **key,
                    "n_train": n_train,
                    **means,
                    "n": int(sum(~left_out)),
                    "diverged": int(sum(left_out)),
                }
            )
    return pl.DataFrame(rows)


def gap_correlations(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return r of log n_T and gap over all runs of each experiment.

    Args:
        measured: The groups.
        statistics: "confidence" of the intervals, which are over cells.

    Returns:
        name, data, dataset, task, r, low, high, n, cells, diverged, not_positive (always 0).
    """
    return pl.DataFrame(
        [
            {
                **key,
                **correlation_columns(
                    size_correlation(
                        runs["generalization_gap"],
                        runs["diverged"],
                        design_of(runs),
                        statistics["confidence"],
                    )
                ),
            }
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


def design_of(runs: pl.DataFrame) -> Design:
    """Return how runs lie on their experiment's grid."""
    return Design(runs["cell_id"].to_numpy(), runs["n_train"].to_numpy())


def correlation_columns(correlation: Correlation) -> dict[str, float]:
    """Return r, low, high, n, cells, diverged and not_positive."""
    r, low, high, n_runs, n_cells, left_out = correlation
    bounds = {"r": r, "low": low, "high": high}
    return {**bounds, "n": n_runs, "cells": n_cells, **left_out._asdict()}


def mean_columns(
    runs: NDArray[np.float64], statistics: Mapping[str, Any], stream: str
) -> dict[str, float]:
    """Return mean, low and high of one number of each run, [N]; NaN for none."""
    if not len(runs):
        return dict.fromkeys(("mean", "low", "high"), np.nan)
    interval = mean_interval(
        runs,
        confidence=statistics["confidence"],
        resamples=statistics["resamples"],
        generator=numpy_generator(stream, "bootstrap"),
    )
    return {name: float(getattr(interval, name)) for name in ("mean", "low", "high")}

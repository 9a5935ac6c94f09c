"""Tables of capacity and function interference in the generalization experiments (figure 9)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from td_interference.statistics import LARGEST
from td_interference.tables.generalization import (
    EXPERIMENT,
    PAIRS,
    by_experiment,
    correlation,
    generalization_runs,
    interference,
    mean_columns,
    usable_runs,
)
from td_interference.tables.reduce import MeasuredGroup

TABLES = {
    "interference_by_capacity": [{"experiment": "generalization", "metric": "generalization"}],
    "capacity_correlations": [{"experiment": "generalization", "metric": "generalization"}],
}

_CAPACITY = ("hidden", "extra_layers", "n_parameters")


def interference_by_capacity(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return function interference during training for each capacity, over all n_T and seeds.

    A run's interference is the mean over its measured steps. Runs differ by orders of magnitude,
    so the mean over them is the geometric one.

    Returns:
        name, data, dataset, task, pair, hidden, extra_layers, n_parameters, mean, low,
        high, n, diverged, not_positive.
    """
    rows = []
    for key, runs in by_experiment(_over_training(measured)):
        for values, own in runs.group_by(_CAPACITY, maintain_order=True):
            capacity = dict(zip(_CAPACITY, values, strict=True))
            for pair in PAIRS:
                numbers = interference(own, pair)
                usable, left_out = usable_runs(own, numbers)
                stream = f"{key['name']}-{pair}-h{capacity['hidden']}-l{capacity['extra_layers']}"
                means = mean_columns(np.log(numbers[usable]), statistics, stream)
                means |= {name: float(np.exp(means[name])) for name in ("mean", "low", "high")}
                rows.append({**key, **capacity, "pair": pair, **means, **left_out})
    return pl.DataFrame(rows)


def capacity_correlations(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return r of log capacity (parameters) and log function interference during training.

    Returns:
        name, data, dataset, task, pair, and the columns of `generalization.correlation`.
    """
    return pl.DataFrame(
        [
            {
                **key,
                "pair": pair,
                **correlation(
                    runs,
                    interference(runs, pair),
                    np.log(runs["n_parameters"].to_numpy()),
                    statistics,
                ),
            }
            for key, runs in by_experiment(_over_training(measured))
            for pair in PAIRS
        ]
    )


def _over_training(measured: Sequence[MeasuredGroup]) -> pl.DataFrame:
    """Return one row for each run: its interference averaged over the measured steps.

    It is infinite where any step's is out of range: the mean of many steps would hide that.
    """
    numbers = [pl.col(f"function_interference_{pair}") for pair in PAIRS]
    fixed = [*EXPERIMENT, *_CAPACITY, "cell_id", "n_train"]
    return (
        generalization_runs(measured, {})
        .group_by("run_id", maintain_order=True)
        .agg(
            pl.col(fixed).first(),
            pl.col("diverged").any(),
            *(pl.when(own.abs() <= LARGEST).then(own).otherwise(np.inf).mean() for own in numbers),
        )
    )

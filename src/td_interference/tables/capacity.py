"""Tables of capacity and function interference in the generalization experiments (figure 9)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from td_interference.statistics import LARGEST, lost
from td_interference.tables.gap_correlations import capacity_correlation
from td_interference.tables.generalization import (
    EXPERIMENT,
    PAIRS,
    by_experiment,
    correlation_columns,
    design_of,
    generalization_runs,
    mean_columns,
)
from td_interference.tables.reduce import MeasuredGroup

TABLES = {
    "interference_by_capacity": [{"experiment": "generalization", "metric": "generalization"}],
    "capacity_correlations": [{"experiment": "generalization", "metric": "generalization"}],
}


def interference_by_capacity(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return function interference during training for each capacity, over all n_T and seeds.

    A run's interference is the mean over its measured steps. Runs differ by orders of magnitude,
    so the mean over them is the geometric one.

    Args:
        measured: The groups.
        statistics: "confidence" of the intervals, and "resamples" of their bootstrap.

    Returns:
        name, data, dataset, task, pair, hidden, extra_layers, n_parameters, mean, low,
        high, n, diverged, not_positive.
    """
    rows = []
    for key, runs in by_experiment(_over_training(measured)):
        capacity = ["hidden", "extra_layers", "n_parameters"]
        for values, own in runs.group_by(capacity, maintain_order=True):
            cell = {**key, **dict(zip(capacity, values, strict=True))}
            rows += [_geometric_mean(cell, pair, own, statistics) for pair in PAIRS]
    return pl.DataFrame(rows)


def capacity_correlations(
    measured: Sequence[MeasuredGroup], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return r of log capacity (parameters) and log function interference during training.

    Args:
        measured: The groups.
        statistics: "confidence" of the intervals, which are over cells.

    Returns:
        name, data, dataset, task, pair, r, low, high, n, cells, diverged, not_positive.
    """
    return pl.DataFrame(
        [
            {
                **key,
                "pair": pair,
                **correlation_columns(
                    capacity_correlation(
                        runs["n_parameters"],
                        runs[f"function_interference_{pair}"],
                        runs["diverged"],
                        design_of(runs),
                        statistics["confidence"],
                    )
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
    interference = [pl.col(f"function_interference_{pair}") for pair in PAIRS]
    fixed = [*EXPERIMENT, "cell_id", "hidden", "extra_layers", "n_parameters", "n_train"]
    return (
        generalization_runs(measured, {})
        .group_by("run_id", maintain_order=True)
        .agg(
            pl.col(fixed).first(),
            pl.col("diverged").any(),
            *(
                pl.when(own.abs() <= LARGEST).then(own).otherwise(np.inf).mean()
                for own in interference
            ),
        )
    )


def _geometric_mean(
    cell: dict[str, Any], pair: str, runs: pl.DataFrame, statistics: Mapping[str, Any]
) -> dict[str, Any]:
    values = runs[f"function_interference_{pair}"].to_numpy()
    left_out = lost(runs["diverged"].to_numpy(), values)
    not_positive = ~left_out & ~(values > 0)
    usable = np.log(values[~left_out & ~not_positive])
    means = mean_columns(
        usable, statistics, f"{cell['name']}-{pair}-h{cell['hidden']}-l{cell['extra_layers']}"
    )
    return {
        **cell,
        "pair": pair,
        **{name: float(np.exp(mean)) for name, mean in means.items()},
        "n": len(usable),
        "diverged": int(left_out.sum()),
        "not_positive": int(not_positive.sum()),
    }

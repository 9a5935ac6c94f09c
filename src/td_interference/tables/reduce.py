"""From the measurements of runs to a tidy table of means and intervals."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from numpy.typing import NDArray

from td_interference import storage, tables
from td_interference.files import atomic_path
from td_interference.grid import RunSpec
from td_interference.seeds import numpy_generator
from td_interference.statistics import mean_over_runs

Key = dict[str, str | float]  # columns of a table, by which runs are grouped


class Measured(NamedTuple):
    """One run and what a metric measured of it."""

    run: RunSpec
    arrays: storage.Arrays  # of the metric's table in storage


class Curve(NamedTuple):
    """What one run contributes: values along an axis, for each unit drawn within the run."""

    axis: str | None  # column name, e.g. "offset"; None for a single number
    positions: Sequence[float]  # [P] along the axis; one position for a single number
    units: NDArray[Any]  # [units, P]


def means_by(
    key: Callable[[RunSpec], Key],
    measured: Sequence[Measured],
    curve: Callable[[storage.Arrays], Curve],
    statistics: Mapping[str, Any],
) -> pl.DataFrame:
    """Return one row per key and position: the mean over the key's runs with its interval.

    Args:
        key: What a run is grouped by, as the row's first columns; rows keep the order of the runs.
        measured: All runs of the experiment.
        curve: What to take from each.
        statistics: "confidence" and "resamples".

    Returns:
        The key's columns, the axis if there is one, mean, low, high, n.
    """
    groups: dict[tuple, list[Measured]] = {}
    for item in measured:
        groups.setdefault(tuple(key(item.run).items()), []).append(item)
    rows = []
    for columns, items in groups.items():
        curves = [curve(item.arrays) for item in items]
        interval = mean_over_runs(
            [run.units for run in curves],
            confidence=statistics["confidence"],
            resamples=statistics["resamples"],
            generator=numpy_generator(repr(columns), "bootstrap"),
        )
        for place, position in enumerate(curves[0].positions):
            axis = {} if curves[0].axis is None else {curves[0].axis: position}
            rows.append(
                {
                    **dict(columns),
                    **axis,
                    "mean": float(interval.mean[place]),
                    "low": float(interval.low[place]),
                    "high": float(interval.high[place]),
                    "n": len(curves),
                }
            )
    return pl.DataFrame(rows)


def compute_table(
    name: str,
    runs: Sequence[RunSpec],
    measurement_paths: Sequence[Path | str],
    statistics: Mapping[str, Any],
    parquet_path: Path | str,
    csv_path: Path | str,
) -> None:
    """Write one table as Parquet and CSV.

    Args:
        name: Of the table, in `tables.TABLES`.
        runs: The experiment's runs.
        measurement_paths: Their measurements, in the same order.
        statistics: "confidence" and "resamples" of the bootstrap.
        parquet_path: File to write.
        csv_path: File to write.

    Raises:
        UserError: If a measurement is bad.
    """
    schema = storage.MEASUREMENTS[tables.entry(name).metric]
    measured = [
        Measured(run, storage.read(path, schema))
        for run, path in zip(runs, measurement_paths, strict=True)
    ]
    table = tables.load(name)(measured, statistics)
    with atomic_path(parquet_path) as temporary:
        table.write_parquet(temporary)
    with atomic_path(csv_path) as temporary:
        table.write_csv(temporary)

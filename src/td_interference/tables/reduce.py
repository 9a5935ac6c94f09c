"""From the measurements of runs to a tidy table of means and intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from td_interference import metrics, tables
from td_interference.errors import UserError
from td_interference.planning.cells import CellSpec
from td_interference.planning.generalization import CellGroup
from td_interference.planning.grid import RunSpec
from td_interference.planning.runs import Trained, run_of
from td_interference.planning.studies import Study
from td_interference.seeds import numpy_generator
from td_interference.statistics import mean_interval, mean_where_known, out_of_range
from td_interference.storage import hdf5, kinds
from td_interference.storage.attributes import parse_attributes
from td_interference.storage.identity import Identity, digest, of_table
from td_interference.storage.parquet import write_table
from td_interference.tables.variants import Key, find_variants


class Measured(NamedTuple):
    """One run and what a metric measured of it."""

    run: Trained
    arrays: hdf5.Arrays  # of the metric's table in storage
    experiment: str = ""  # for which the run was measured
    metric: str = ""
    checkpoints: Sequence[int] = ()  # update steps that the experiment looks at
    diverged: bool = False  # its training did, or `overflowed`; it is counted, and in no mean


class MeasuredStudy(NamedTuple):
    """One study of random networks and what was measured of it."""

    study: Study
    arrays: hdf5.Arrays  # of storage.RANDOM_NETWORKS


class MeasuredGroup(NamedTuple):
    """One group of cells and what was measured of its runs."""

    group: CellGroup
    arrays: hdf5.Arrays  # of storage.GENERALIZATION
    n_parameters: int  # of each of its networks


class Curve(NamedTuple):
    """What one run contributes: values at P positions, for each unit drawn within the run."""

    positions: Sequence[Key]  # [P], such as {"offset": 3}; [{}] for a single number
    units: NDArray[Any]  # [units, P]


def means_by(
    key: Callable[[Measured], Key],
    measured: Sequence[Measured],
    curve: Callable[[Measured], Curve],
    statistics: Mapping[str, Any],
) -> pl.DataFrame:
    """Return one row per key, variant and position: the mean over runs with its interval.

    Args:
        key: What a line is of, as the row's first columns.
        measured: All runs of the experiment.
        curve: What to take from each.
        statistics: "confidence" and "resamples".

    Returns:
        The key's columns, variant (`tables.variants`), those of the positions, mean, low, high, n
        (runs in the mean), diverged (runs left out of it), not_measured (runs without a value at
        that position); the last three add up to all runs of the key and variant. Where n is 0 the
        mean is NaN, where it is 1 the interval is. Rows are in the order of the games' names, then
        of the variants, then of the runs.

    Raises:
        UserError: If all runs diverged.
    """
    variants = find_variants(key, measured)
    groups: dict[tuple, list[Measured]] = {}
    for item in measured:
        line = {**key(item), "variant": variants.of(item.run)}
        groups.setdefault(tuple(line.items()), []).append(item)
    good = [item for item in measured if not item.diverged]
    if not good:
        raise all_diverged(item.run.run_id for item in measured)

    def place(line: tuple) -> tuple[Any, int]:
        columns = dict(line)
        return columns["game"], variants.order[columns["variant"]]

    rows = []
    for columns in sorted(groups, key=place):
        items = groups[columns]
        curves = [curve(item) for item in items if not item.diverged]
        positions = curves[0].positions if curves else curve(good[0]).positions
        # The unit is the run: what was drawn within one says nothing of another.
        interval = mean_interval(
            [mean_where_known(run.units) for run in curves] or np.full((1, len(positions)), np.nan),
            confidence=statistics["confidence"],
            resamples=statistics["resamples"],
            generator=numpy_generator(repr(columns), "bootstrap"),
        )
        for position, mean, low, high, n in zip(positions, *interval, strict=True):
            bounds = {"mean": float(mean), "low": float(low), "high": float(high), "n": int(n)}
            left_out = {"diverged": len(items) - len(curves), "not_measured": len(curves) - int(n)}
            rows.append({**dict(columns), **position, **bounds, **left_out})
    return pl.DataFrame(rows)


def all_diverged(run_ids: Iterable[str]) -> UserError:
    """Return the error of a table none of whose runs counts."""
    runs = ", ".join(sorted(set(run_ids)))
    return UserError(f"config key 'learning_rates': all runs of a table diverged ({runs})")


def overflowed(kind: kinds.FileKind, arrays: hdf5.Arrays) -> bool:
    """Whether a run's learning blew up, by what was measured of it, though its training was finite.

    So it did if a number is infinite or out of range (`statistics.out_of_range`), or is NaN where
    its kind knows no NaN. It then counts as diverged for all that is made of this measurement.

    Args:
        kind: Of the measurement.
        arrays: Of it.
    """
    return any(
        bool(out_of_range(arrays[name]).any())
        or (not field.may_lack and bool(np.isnan(arrays[name]).any()))
        for name, field in kind.fields.items()
        if arrays[name].dtype.kind == "f"
    )


def trained_from_replay(item: Measured) -> RunSpec:
    """Return the description of a run that learned from D*."""
    assert item.run.kind == "training", f"{item.experiment} trains from D*"
    return item.run.measured_as


def compute_table(
    name: str,
    runs: Sequence[Mapping[str, Any]],
    measurement_paths: Sequence[Path | str],
    statistics: Mapping[str, Any],
    parquet_path: Path | str,
    csv_path: Path | str,
    on_divergence: str = "stop",
    code: str = "",
) -> None:
    """Write one table as Parquet and CSV.

    Args:
        name: Of the table, in `tables.TABLES`.
        runs: What was measured: "experiment", "metric", "checkpoints", and the "identity" that the
            measurement must have; of groups of cells "name" and "data" as well.
        measurement_paths: The measurements, in the same order.
        statistics: "confidence" of the intervals, and "resamples" of the bootstrap.
        parquet_path: File to write.
        csv_path: File to write.
        on_divergence: "leave_out" to do without runs whose training diverged.
        code: Digest of the code that computes the table.

    Raises:
        UserError: If a measurement is bad, of something else, or of a run that diverged and is not
            to be left out.
    """
    strict = on_divergence != "leave_out"
    measured = [
        _read(item, path, strict) for item, path in zip(runs, measurement_paths, strict=True)
    ]
    identity = of_table(name, statistics, code, [digest(item["identity"]) for item in runs])
    write_table(tables.load(name)(measured, statistics), parquet_path, csv_path, identity)


def _read(
    item: Mapping[str, Any], path: Path | str, strict: bool
) -> Measured | MeasuredStudy | MeasuredGroup:
    """Return one measurement; where it is `strict`, a run that diverged is refused."""
    wanted: Identity = item["identity"]
    if "cells" in wanted:
        with hdf5.opened(path, kinds.GENERALIZATION, wanted) as file:
            arrays, attributes = hdf5.arrays_of(path, file), parse_attributes(file)
        cells = tuple(CellSpec.from_dict(cell) for cell in wanted["cells"])
        group = CellGroup(item["name"], item["data"], cells)
        return MeasuredGroup(group, arrays, attributes["n_parameters"])
    if "study" in wanted:
        study = Study.from_dict(wanted["study"])
        return MeasuredStudy(study, hdf5.read(path, kinds.RANDOM_NETWORKS, wanted))
    schema = kinds.MEASUREMENTS[metrics.entry(item["metric"]).module]
    with hdf5.opened(path, schema, wanted) as file:
        arrays, diverged = hdf5.arrays_of(path, file), "diverged_at" in file.attrs
    run, diverged = run_of(wanted), diverged or overflowed(schema, arrays)
    if diverged and strict:
        raise UserError(
            f"{run.run_id}: its training diverged, or its {item['metric']} overflows; lower "
            "'learning_rates', or go on without such runs by 'training.on_divergence: leave_out'"
        )
    return Measured(run, arrays, item["experiment"], item["metric"], item["checkpoints"], diverged)

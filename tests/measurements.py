"""Made-up measurements of every run of the smoke scale, and the tables of them."""

from pathlib import Path

import numpy as np
import polars as pl

from td_interference import metrics, tables
from td_interference.planning.lineage import Lineage
from td_interference.planning.plan import Plan, make_plan
from td_interference.storage import hdf5, kinds
from td_interference.tables.reduce import compute_table

WORKFLOW = Path(__file__).parent.parent / "workflow"
STATISTICS = {"confidence": 0.95, "resamples": 100}
SIZES = {"offset": 7, "minibatch": 3, "segment": 4, "anchor": 5, "index": 6}
SIZES |= {"sample_a": 2, "sample_b": 2}


def smoke_plan(**over) -> Plan:
    """The plan of the smoke scale, with some keys set differently."""
    return make_plan({"scale": "smoke", "device": "cpu", **over}, WORKFLOW)


def schema_of(metric) -> kinds.FileKind:
    """The table of a metric's files."""
    if metric == "random_networks":
        return kinds.RANDOM_NETWORKS
    return kinds.MEASUREMENTS[metrics.entry(metric).module]


def random_arrays(plan, run, metric, generator) -> hdf5.Arrays:
    """Arrays of the right shapes, noise but for the axes."""
    schema = schema_of(metric)
    steps = list(getattr(run, "checkpoints", ()))
    if steps and plan.config["metrics"][metric]["checkpoints"] == "last":
        steps = steps[-1:]
    sizes = {**SIZES, "checkpoint": len(steps), "step_size": len(getattr(run, "step_sizes", ()))}
    arrays = {}
    for name, field in schema.fields.items():
        shape = [sizes.get(size, 4) if isinstance(size, str) else size for size in field.dimensions]
        arrays[name] = generator.normal(size=shape).astype(field.dtype)
    if steps:
        arrays["update_step"] = np.array(steps)
    if "offset" in arrays:
        arrays["offset"] = np.arange(SIZES["offset"]) - SIZES["offset"] // 2
    if "index" in arrays:
        arrays["index"] = np.arange(1, SIZES["index"] + 1)
    if "step_size" in arrays:
        arrays["step_size"] = np.array(run.step_sizes)
        arrays["relative_error"] = np.abs(arrays["relative_error"])
    return arrays


def write_table(
    name,
    directory,
    plan,
    change=lambda run, source, arrays: arrays,
    on_divergence="stop",
) -> pl.DataFrame:
    """Write a table of made-up measurements as the workflow would, and return it.

    Args:
        name: Of the table.
        directory: For the table and what it came from.
        plan: The runs.
        change: What to make of the noise, for a run and the source it is of.
        on_divergence: As in the configuration.
    """
    generator = np.random.default_rng(0)
    runs, paths = [], []
    for source in tables.entry(name).sources:
        for run in plan.source_runs(source):
            path = directory / source.experiment / source.metric / f"{run.run_id}.h5"
            arrays = change(run, source, random_arrays(plan, run, source.metric, generator))
            identity = Lineage(plan, WORKFLOW / "scripts").measurement(run, source.metric)
            hdf5.write(path, schema_of(source.metric), arrays, identity)
            paths.append(path)
            runs.append(
                {
                    "experiment": source.experiment,
                    "metric": source.metric,
                    "checkpoints": plan.checkpoints(source.experiment),
                    "identity": identity,
                }
            )
    parquet, csv = directory / f"{name}.parquet", directory / f"{name}.csv"
    compute_table(name, runs, paths, STATISTICS, parquet, csv, on_divergence)
    return pl.read_parquet(parquet)

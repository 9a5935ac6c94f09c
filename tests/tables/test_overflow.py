"""Runs whose learning blew up, though no loss was infinite, count as diverged in every mean."""

import numpy as np
import polars as pl
import pytest
import torch
from identities import of_run
from measurements import STATISTICS, smoke_plan, write_table
from problems import run_spec

from td_interference.errors import UserError
from td_interference.metrics.measuring import measure_run
from td_interference.storage import hdf5, identity, kinds
from td_interference.tables.reduce import compute_table, overflowed
from td_interference.training import train

CPU = torch.device("cpu")
SETTINGS = {
    "stiffness": {"anchors": 10, "anchors_per_segment": 5, "half_width": 3},
    "gain": {"minibatches": 2, "half_width": 3, "unrelated": 8},
    "function_interference": {"samples": 8},
    "second_order": {"minibatch": 4, "second_term_factor": 1},
}
PLAN = smoke_plan()


def spoilt(name, value):
    """Make one number of one seed's measurement such a value."""

    def change(run, source, arrays):
        if run.seed == 1 and name in arrays:
            arrays[name].reshape(-1)[-1] = value
        return arrays

    return change


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("stiffness_by_lambda", "cosine"),
        ("gain_by_lambda", "gain"),
        ("gain_nearby_by_objective", "gain_unrelated"),
        ("singular_values_by_lambda", "singular_value"),
        ("second_order_by_objective", "r2"),
        ("momentum_variance", "momentum_change"),
        ("function_interference_by_lambda", "function_interference"),
    ],
)
@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e20, np.nan])
def test_a_value_out_of_range_leaves_the_run_out(tmp_path, table, field, value):
    lacking = np.isnan(value) and field in {"cosine", "gain"}  # where NaN is nothing measured
    change = spoilt(field, value)
    if not lacking:
        with pytest.raises(UserError, match=r"seed1: .* overflows; .*leave_out"):
            write_table(table, tmp_path, PLAN, change)
    made = write_table(table, tmp_path, PLAN, change, on_divergence="leave_out")
    assert made["diverged"].unique().to_list() == [0 if lacking else 1]
    total = made["n"] + made["diverged"] + made["not_measured"]
    assert total.unique().to_list() == [2]
    assert not made["mean"].is_infinite().any()
    clean = write_table(table, tmp_path / "clean", PLAN)
    if not lacking:
        counted = made.filter(pl.col("n") > 0)
        assert counted["low"].is_nan().all() and len(clean) == len(made)


def test_a_run_is_left_out_of_all_its_parameterizations_columns(tmp_path):
    plan = smoke_plan(experiments={"parameterizations": {"n_seeds": 2}})
    change = spoilt("function_interference", np.inf)
    made = write_table("parameterizations", tmp_path, plan, change, on_divergence="leave_out")
    lost = made.filter(pl.col("seed") == 1)
    assert lost["diverged"].to_list() == [1] * 4 and lost["score"].is_nan().all()
    assert made.filter(pl.col("seed") == 0)["score"].is_finite().all()
    correlations = write_table(
        "parameterization_correlations", tmp_path, plan, change, on_divergence="leave_out"
    )
    assert correlations["n"].to_list() == correlations["diverged"].to_list() == [4, 4]


@pytest.fixture(scope="module")
def measured(replay_path, tmp_path_factory):
    """Return what is measured of a Q-learning run with a learning rate, still finite itself."""
    directory = tmp_path_factory.mktemp("blown_up")

    def of(learning_rate, metric):
        run = run_spec(
            objective="q_learning", lambda_=None, learning_rate=learning_rate, optimizer="rmsprop",
            updates=50, checkpoints=(50,), weight_decay=0.0,
        )  # fmt: skip
        own = directory / run.run_id
        if not own.exists():
            outputs = own / "c.h5", own / "curve.csv", own / "state"
            train(
                run, replay_path, *outputs, identity=of_run(run), device=CPU, resume_interval=60.0
            )
        assert "diverged_at" not in hdf5.read_attributes(own / "c.h5")
        settings = {**SETTINGS[metric], "checkpoints": "last"}
        path = own / f"{metric}.h5"
        measure_run(metric, settings, run, replay_path, own / "c.h5", path, wanted=None, device=CPU)
        return path

    return of


@pytest.mark.parametrize(
    ("learning_rate", "metric"),
    [
        (1.0, "second_order"),
        (1e3, "second_order"),
        (1e3, "stiffness"),
        (1e3, "function_interference"),
        (1e3, "gain"),
    ],
)
def test_learning_that_blew_up_is_seen_in_what_is_measured(measured, learning_rate, metric):
    schema = kinds.MEASUREMENTS[metric]
    path = measured(learning_rate, metric)
    assert overflowed(schema, hdf5.read(path, schema))
    path = measured(1e-3, metric)
    assert not overflowed(schema, hdf5.read(path, schema))


def test_such_a_run_is_counted_beside_a_good_one(measured, tmp_path):
    metric = "second_order"
    schema, items, paths = kinds.MEASUREMENTS[metric], [], []
    for seed, learning_rate in enumerate((1e-3, 1.0)):
        run = run_spec(objective="q_learning", lambda_=None, seed=seed)  # two seeds of one run
        wanted = identity.of_measurement(metric, SETTINGS[metric], "", of_run(run))
        paths.append(tmp_path / f"seed{seed}.h5")
        arrays = hdf5.read(measured(learning_rate, metric), schema)
        hdf5.write(paths[-1], schema, arrays, wanted)
        items.append(
            {"experiment": metric, "metric": metric, "checkpoints": [50], "identity": wanted}
        )
    parquet, csv = tmp_path / "t.parquet", tmp_path / "t.csv"
    name = "second_order_by_objective"
    compute_table(name, items, paths, STATISTICS, parquet, csv, "leave_out")
    table = pl.read_parquet(parquet)
    assert table.select("n", "diverged").unique().rows() == [(1, 1)]
    assert table["mean"].is_finite().all() and table["low"].is_nan().all()

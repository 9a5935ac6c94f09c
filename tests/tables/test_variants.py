"""Tables never average over unlike runs, and their rows have an order of their own."""

import numpy as np
import polars as pl
import pytest
from figure_tables import draw_figure
from measurements import smoke_plan, write_table

from td_interference import tables
from td_interference.figures import style


def by_run(run, source, arrays):
    """Every number of a run is one that its settings tell."""
    number = run.hidden + 1e3 * run.learning_rate + (1000 if run.optimizer == "sgd" else 0)
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            arrays[name] = np.full_like(array, number + 0.01 * run.seed)
    return arrays


@pytest.mark.parametrize(
    ("name", "over", "variants"),
    [
        (
            "stiffness_by_lambda",
            {"experiments": {"td_lambda": {"hidden": [16, 4]}}},
            {"hidden 4": 4.1, "hidden 16": 16.1},
        ),
        (
            "singular_values_by_lambda",
            {"experiments": {"td_lambda": {"learning_rates": [1e-3, 1e-4]}}},
            {"learning rate 0.0001": 8.1, "learning rate 0.001": 9.0},
        ),
        (
            "gain_by_lambda",
            {"experiments": {"td_lambda": {"optimizers": ["sgd", "adam"], "hidden": [8, 2]}}},
            {
                "hidden 2, optimizer adam": 2.1,
                "hidden 2, optimizer sgd": 1002.1,
                "hidden 8, optimizer adam": 8.1,
                "hidden 8, optimizer sgd": 1008.1,
            },
        ),
        (
            "gain_by_objective",
            {"experiments": {"regression": {"hidden": [8, 2]}}},
            {"hidden 2": 2.1, "hidden 8": 8.1},
        ),
        (
            "gain_over_training",
            {"control": {"learning_rates": [1e-3, 1e-4]}},
            {"learning rate 0.0001": 8.1, "learning rate 0.001": 9.0},
        ),
        (
            "momentum_variance",
            {"experiments": {"momentum": {"hidden": [4, 2]}}},
            {"hidden 2": 0.0, "hidden 4": 0.0},
        ),
    ],
)
def test_a_line_is_of_runs_that_differ_in_seed_alone(tmp_path, name, over, variants):
    table = write_table(name, tmp_path, smoke_plan(**over), by_run)
    assert set(table["variant"]) == set(variants)
    game = table.filter(pl.col("game") == table["game"][0])
    assert game["variant"].unique(maintain_order=True).to_list() == list(variants)
    for variant, number in variants.items():
        values = table.filter(pl.col("variant") == variant)["mean"].drop_nans()
        np.testing.assert_allclose(values, number, atol=0.011)
    assert table["n"].max() == 2, "two seeds, not four runs"


def test_control_and_policy_evaluation_share_the_variant_they_share(tmp_path):
    plan = smoke_plan(experiments={"policy_evaluation": {"hidden": [2, 8]}})
    table = write_table("gain_by_optimizer", tmp_path, plan, by_run)
    found = set(table.select("experiment", "variant").rows())
    assert found == {
        ("policy_evaluation", "hidden 2"),
        ("policy_evaluation", "hidden 8"),
        ("control", "hidden 8"),
    }


def test_parameterizations_of_two_optimizers_are_not_one_run(tmp_path):
    plan = smoke_plan(experiments={"parameterizations": {"optimizers": ["sgd", "adam"]}})
    table = write_table("parameterizations", tmp_path, plan, by_run)
    assert len(table) == 8 and not table.drop("seed").is_duplicated().any()
    expected = table["hidden"] + 1e3 * table["learning_rate"]
    expected += 1000 * (table["variant"] == "optimizer sgd").cast(pl.Int64)
    np.testing.assert_allclose(table["score"], expected, rtol=1e-5)
    correlations = write_table("parameterization_correlations", tmp_path, plan, by_run)
    assert correlations["variant"].to_list() == ["optimizer adam"] * 2 + ["optimizer sgd"] * 2
    assert correlations["n"].to_list() == [4] * 4


def test_parameterizations_are_in_order_however_the_configuration_lists_them(tmp_path):
    axes = {"games": ["seaquest", "asterix"], "learning_rates": [1e-3, 1e-5, 1e-4]}
    axes |= {"hidden": [16, 2, 4], "n_seeds": 2}
    table = write_table(
        "parameterizations", tmp_path, smoke_plan(experiments={"parameterizations": axes}), by_run
    )
    rows = table.select("game", "learning_rate", "hidden", "seed").rows()
    assert rows == sorted(rows) and len(rows) == 2 * 3 * 3 * 2


def test_the_figure_has_a_panel_for_each(tmp_path):
    plan = smoke_plan(experiments={"td_lambda": {"hidden": [4, 8], "lambdas": [0, 1]}})
    table = write_table("stiffness_by_lambda", tmp_path, plan, by_run)
    figure = draw_figure("fig5", {"stiffness_by_lambda": table})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["hidden 4", "hidden 8"]
    for part, axes in zip(style.parts(table), figure.axes, strict=True):
        drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
        for line, lambda_ in zip(drawn, (0.0, 1.0), strict=True):
            rows = part.rows.filter(pl.col("lambda") == lambda_)
            np.testing.assert_array_equal(line.get_ydata(), rows["mean"])


@pytest.mark.parametrize(
    "name",
    [entry.name for entry in tables.TABLES if entry.sources[0].experiment == "td_lambda"],
)
def test_rows_are_in_order_however_the_configuration_lists_them(tmp_path, name):
    games = ["seaquest", "ms_pacman", "asterix"]
    plan = smoke_plan(
        experiments={"td_lambda": {"games": games, "lambdas": [1, 0, 0.5], "hidden": [16, 2]}}
    )
    table = write_table(name, tmp_path, plan)
    width = table["variant"].str.strip_prefix("hidden ").cast(pl.Int64).alias("width")
    axis = [column for column in ("offset", "index") if column in table.columns]
    ordered = table.with_columns(width).sort("game", "width", "lambda", *axis).drop("width")
    assert ordered.equals(table, null_equal=True)
    assert pl.read_csv(tmp_path / f"{name}.csv")["lambda"].to_list() == table["lambda"].to_list()

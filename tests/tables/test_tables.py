"""Tables: what they group, which numbers they take, and that they are tidy."""

import numpy as np
import polars as pl
import pytest
from measurements import smoke_plan, write_table

from td_interference import tables
from td_interference.errors import UserError

PLAN = smoke_plan()
COLUMNS = {
    "stiffness_by_lambda": ["game", "lambda", "variant", "offset"],
    "stiffness_nearby_by_lambda": ["game", "lambda", "variant"],
    "gain_by_lambda": ["game", "lambda", "variant", "offset"],
    "singular_values_by_lambda": ["game", "lambda", "variant", "index"],
    "sign_variance_by_lambda": ["game", "lambda", "variant"],
    "function_interference_by_lambda": ["game", "lambda", "variant"],
    "gain_by_objective": ["game", "objective", "variant", "offset"],
    "gain_nearby_by_objective": ["game", "objective", "variant", "place"],
    "gain_by_optimizer": ["game", "experiment", "optimizer", "variant", "offset"],
    "gain_nearby_by_optimizer": ["game", "experiment", "optimizer", "variant", "place"],
    "singular_values_by_optimizer": [
        "game",
        "experiment",
        "optimizer",
        "update_step",
        "variant",
        "index",
    ],
    "gain_over_training": ["game", "variant", "update_step", "offset"],
    "second_order_by_objective": ["game", "objective", "term", "variant", "part", "update_step"],
    "momentum_variance": ["game", "variant", "quantity", "update_step"],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_means_are_tidy(tmp_path, name):
    table = write_table(name, tmp_path, PLAN)
    counts = ["n", "diverged", "not_measured"]
    assert table.columns == [*COLUMNS[name], "mean", "low", "high", *counts]
    assert table["diverged"].unique().to_list() == [0]
    assert table["variant"].unique().to_list() == [""]
    assert not table.select(COLUMNS[name]).is_duplicated().any()
    assert (table["n"] + table["not_measured"]).unique().to_list() == [2]
    assert table["n"].max() == 2
    known = table.filter(pl.col("n") > 1)  # the others have no interval
    outside = (pl.col("low") > pl.col("mean") + 1e-9) | (pl.col("mean") > pl.col("high") + 1e-9)
    assert known.filter(outside).is_empty()
    assert pl.read_csv(tmp_path / f"{name}.csv").columns == table.columns


def test_every_table_is_looked_at():
    others = {"parameterizations", "parameterization_correlations"}
    elsewhere = ("random_networks", "generalization")  # tested in files of their own
    named = {entry.name for entry in tables.TABLES if entry.sources[0].experiment not in elsewhere}
    assert named == set(COLUMNS) | others


def test_lambdas_do_not_mix_and_the_axis_stays(tmp_path):
    def change(run, source, arrays):
        level = 0.1 + 0.5 * run.lambda_ + 0.01 * run.seed
        arrays["cosine"] = level + 0.001 * arrays["cosine"]
        arrays["cosine"][..., 3] = 1
        arrays["cosine"][0, 0, 0, :2] = np.nan
        return arrays

    table = write_table("stiffness_by_lambda", tmp_path, PLAN, change)
    line = table.filter(pl.col("lambda") == 1.0).sort("offset")
    assert line["offset"].to_list() == list(range(-3, 4))
    assert line.filter(pl.col("offset") == 0)["mean"].item() == pytest.approx(1)
    assert line.filter(pl.col("offset") == 3)["mean"].item() == pytest.approx(0.605, abs=0.002)
    near = write_table("stiffness_nearby_by_lambda", tmp_path, PLAN, change)
    np.testing.assert_allclose(near["mean"], [0.105, 0.605], atol=0.002)


def offsets_as_values(name):
    def change(run, source, arrays):
        wide = np.arange(-30, 31)
        arrays["offset"] = wide
        shape = (*arrays[name].shape[:-1], len(wide))
        arrays[name] = np.broadcast_to(wide, shape).astype(np.float32)
        return arrays

    return change


def test_nearby_takes_offsets_1_to_5_alone(tmp_path):
    table = write_table("stiffness_nearby_by_lambda", tmp_path, PLAN, offsets_as_values("cosine"))
    assert table["mean"].to_list() == [3.0, 3.0]


def test_gain_nearby_takes_offsets_1_to_10_either_way(tmp_path):
    def change(run, source, arrays):
        arrays = offsets_as_values("gain")(run, source, arrays)
        arrays["gain"] = np.abs(arrays["gain"]) + (arrays["offset"] == 0) * 100
        arrays["gain_unrelated"] = np.full_like(arrays["gain_unrelated"], 7)
        return arrays

    table = write_table("gain_nearby_by_objective", tmp_path, PLAN, change)
    for place, value in (("offset 0", 100), ("offsets 1 to 10", 5.5), ("unrelated", 7)):
        assert table.filter(pl.col("place") == place)["mean"].unique().to_list() == [value]


def test_control_and_policy_evaluation_stay_apart(tmp_path):
    levels = {("control", "adam"): 1.0, ("policy_evaluation", "adam"): 2.0}

    def change(run, source, arrays):
        level = levels.get((source.experiment, run.optimizer), 0.0) + 0.1 * run.seed
        arrays["gain"] = np.full_like(arrays["gain"], level)
        return arrays

    table = write_table("gain_by_optimizer", tmp_path, PLAN, change)
    adam = table.filter((pl.col("optimizer") == "adam") & (pl.col("offset") == 2))
    means = dict(zip(adam["experiment"], adam["mean"], strict=True))
    assert means == pytest.approx({"policy_evaluation": 2.05, "control": 1.05})
    assert set(table["optimizer"]) == {"adam", "rmsprop", "sgd", "momentum_sgd"}


def test_singular_values_are_those_of_the_earliest_common_checkpoint(tmp_path):
    over = {
        "experiments": {"policy_evaluation": {"checkpoints": [40, 100, 200]}},
        "control": {"checkpoints": [100, 150, 200]},
    }

    def change(run, source, arrays):
        arrays["singular_value"] = np.float32(
            np.array(arrays["update_step"])[:, None] + np.zeros(6)
        )
        return arrays

    table = write_table("singular_values_by_optimizer", tmp_path, smoke_plan(**over), change)
    assert table["update_step"].unique().to_list() == [100]
    assert table["mean"].unique().to_list() == [100.0]
    assert table["index"].unique().sort().to_list() == [1, 2, 3, 4, 5, 6]
    over["control"]["checkpoints"] = [150]
    with pytest.raises(UserError, match="they have no update step in common"):
        write_table("singular_values_by_optimizer", tmp_path / "b", smoke_plan(**over))


def test_gain_over_training_keeps_checkpoints_and_offsets_apart(tmp_path):
    def change(run, source, arrays):
        step = np.array(arrays["update_step"])[:, None, None, None]
        arrays["gain"] = (step + 0.1 * arrays["offset"] + 0 * arrays["gain"]).astype(np.float32)
        return arrays

    table = write_table("gain_over_training", tmp_path, PLAN, change)
    expected = table["update_step"] + 0.1 * table["offset"]
    np.testing.assert_allclose(table["mean"], expected, rtol=1e-6)
    assert table["update_step"].unique().sort().to_list() == [100, 200]


def test_parts_of_a_term_by_hand(tmp_path):
    r1 = np.array([[1.0, -2.0], [3.0, -6.0]])
    always_positive = np.ones((2, 2))

    def change(run, source, arrays):
        n_steps = len(arrays["update_step"])
        arrays["r1"] = np.tile(r1, (n_steps, 1, 1)).astype(np.float32)
        arrays["r2"] = np.tile(always_positive, (n_steps, 1, 1)).astype(np.float32)
        arrays["r3"] = arrays["r1"] * np.array(arrays["update_step"])[:, None, None]
        arrays["r3"] = arrays["r3"].astype(np.float32)
        return arrays

    table = write_table("second_order_by_objective", tmp_path, PLAN, change)
    one = table.filter((pl.col("objective") == "q_learning_ema") & (pl.col("update_step") == 50))

    def parts(term, rows=one):
        chosen = rows.filter(pl.col("term") == term)
        return dict(zip(chosen["part"], chosen["mean"], strict=True))

    assert parts("r1") == {"mean": -1, "positive": 2, "negative": -4, "share_negative": 0.5}
    second = parts("r2")
    assert (second["mean"], second["positive"], second["share_negative"]) == (1, 1, 0)
    assert np.isnan(second["negative"])
    assert parts("r3")["positive"] == 100
    # Only the checkpoints of its own experiment, though the run has later ones.
    assert table["update_step"].unique().sort().to_list() == [50, 100]


def test_spread_leaves_out_the_diagonal(tmp_path):
    pairs = np.array([[100.0, 1.0], [3.0, -100.0]])  # apart: 1 and 3, of standard deviation 1

    def change(run, source, arrays):
        factors = {
            "interference": 2,
            "change": 4,
            "momentum_interference": 1,
            "momentum_change": 1,
            "momentum_change_along_gradient": 1,
        }
        n_steps = len(arrays["update_step"])
        for name, factor in factors.items():
            arrays[name] = np.tile(factor * pairs, (n_steps, 1, 1)).astype(np.float32)
        return arrays

    table = write_table("momentum_variance", tmp_path, PLAN, change)
    first = table.filter(pl.col("update_step") == 50)
    values = dict(zip(first["quantity"], first["mean"], strict=True))
    assert values == pytest.approx(
        {
            "interference": 2,
            "change": 4,
            "momentum_interference": 1,
            "momentum_change": 1,
            "change_ratio": 1 / 4,
            "relative_change_ratio": 1 / 2,
        }
    )


def test_parameterizations_join_the_metrics_of_each_run(tmp_path):
    def change(run, source, arrays):
        level = run.learning_rate * 1e4 + run.hidden + 0.1 * run.seed
        if source.metric == "sign_variance":
            arrays["sign_variance"] = np.full_like(arrays["sign_variance"], level)
        elif source.metric == "policy_score":
            arrays["score"] = np.full_like(arrays["score"], -2 * level)
        else:
            arrays["function_interference"] = np.full_like(
                arrays["function_interference"], level**2
            )
        return arrays

    table = write_table("parameterizations", tmp_path, PLAN, change)
    assert len(table) == 2 * 2
    np.testing.assert_allclose(table["score"], -2 * table["sign_variance"], rtol=1e-6)
    np.testing.assert_allclose(
        table["function_interference"], table["sign_variance"] ** 2, rtol=1e-6
    )
    level = table["learning_rate"] * 1e4 + table["hidden"] + 0.1 * table["seed"]
    np.testing.assert_allclose(table["sign_variance"], level, rtol=1e-6)
    correlations = write_table("parameterization_correlations", tmp_path, PLAN, change)
    assert correlations.columns == [
        *("game", "variant", "x", "y", "r", "low", "high", "n", "cells", "diverged"),
    ]
    by_y = dict(zip(correlations["y"], correlations["r"], strict=True))
    assert by_y["score"] == pytest.approx(-1)
    assert 0.9 < by_y["function_interference"] < 1
    assert correlations.select("n", "cells").unique().rows() == [(4, 4)]

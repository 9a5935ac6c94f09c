"""Tables of the generalization experiments against plain numpy and scipy on made-up runs."""

import numpy as np
import polars as pl
import pytest
from measured_groups import EXPERIMENTS, measured_groups, spoil
from scipy import stats

from td_interference import tables
from td_interference.storage import kinds
from td_interference.tables.generalization import PAIRS, generalization_runs

SETTINGS = {"confidence": 0.9, "resamples": 200}
RHO = "function_interference_{}"
NAMES = [entry.name for entry in tables.TABLES if entry.sources[0].experiment == "generalization"]


@pytest.fixture(scope="module")
def groups():
    """One run of the first group diverged, and another has negative interference."""
    made = measured_groups()
    made[0] = spoil(made[0], 0, diverged=True, generalization_gap=np.nan)
    made[0] = spoil(made[0], 1, **{RHO.format(pair): -0.5 for pair in PAIRS})
    return made


def table(name, groups):
    return tables.load(name)(groups, SETTINGS)


def trained(groups, name):
    """Rows of the last measured step of one experiment's runs, as plain dictionaries."""
    rows = []
    for group, arrays, n_parameters in groups:
        if group.name == name:
            last = len(arrays["run_id"]) // 2  # of two measured steps
            rows += [
                {"n_parameters": n_parameters} | {key: array[i] for key, array in arrays.items()}
                for i in range(last, 2 * last)
            ]
    return rows


def usable(rows, pair="train_train"):
    return [row for row in rows if not row["diverged"] and row[RHO.format(pair)] > 0]


def test_runs_have_the_records_columns_and_what_they_are_of(groups):
    runs = table("generalization_runs", groups)
    assert runs.columns == ["name", "data", "n_parameters", *kinds.GENERALIZATION.fields]
    assert runs["name"].unique(maintain_order=True).to_list() == list(EXPERIMENTS)
    assert set(runs["data"]) == {"UCI digits", "Diabetes"}
    assert len(runs) == 4 * 3 * 2 * 3 * 2 * 2  # experiments, hidden, layers, n_T, seeds, steps
    assert runs["run_id"][0] == "digits-classification-lr0.001-h2-l0-n20-seed0"


@pytest.mark.parametrize("pair", PAIRS)
def test_r_of_each_size_is_scipys_at_the_last_step(groups, pair):
    by_size = table("generalization_by_size", groups).filter(pl.col("pair") == pair)
    assert by_size.select("name", "n_train").rows() == [
        (name, size) for name in EXPERIMENTS for size in (20, 100, 300)
    ]
    for row in by_size.iter_rows(named=True):
        all_runs = [r for r in trained(groups, row["name"]) if r["n_train"] == row["n_train"]]
        runs = usable(all_runs, pair)
        expected = stats.pearsonr(
            np.log([run[RHO.format(pair)] for run in runs]),
            [run["generalization_gap"] for run in runs],
        )
        assert row["r"] == pytest.approx(expected.statistic)
        assert row["low"] < row["r"] < row["high"]
        spoilt = row["name"] == "images" and row["n_train"] == 20
        assert (row["n"], row["diverged"], row["not_positive"]) == (12 - 2 * spoilt, spoilt, spoilt)
    assert len(set(by_size["low"])) == len(by_size)


def test_lines_are_scipys_over_all_sizes(groups):
    lines = table("generalization_lines", groups)
    assert len(lines) == 4 * 3
    for row in lines.iter_rows(named=True):
        runs = usable(trained(groups, row["name"]), row["pair"])
        expected = stats.linregress(
            np.log([run[RHO.format(row["pair"])] for run in runs]),
            [run["generalization_gap"] for run in runs],
        )
        for column, value in (
            ("slope", expected.slope),
            ("intercept", expected.intercept),
            ("r", expected.rvalue),
        ):
            assert row[column] == pytest.approx(value)
        assert row["n"] == len(runs)


def test_gap_by_size_is_its_mean_and_falls_with_the_size(groups):
    means, correlations = table("gap_by_size", groups), table("gap_correlations", groups)
    for row in means.iter_rows(named=True):
        gaps = [
            run["generalization_gap"]
            for run in trained(groups, row["name"])
            if run["n_train"] == row["n_train"] and not run["diverged"]
        ]
        assert row["mean"] == pytest.approx(np.mean(gaps)) and row["n"] == len(gaps)
        assert row["low"] < row["mean"] < row["high"]
        assert row["diverged"] == (row["name"] == "images" and row["n_train"] == 20)
    for row in correlations.iter_rows(named=True):
        runs = [run for run in trained(groups, row["name"]) if not run["diverged"]]
        expected = stats.pearsonr(
            np.log([run["n_train"] for run in runs]), [run["generalization_gap"] for run in runs]
        )
        assert row["r"] == pytest.approx(expected.statistic) and row["r"] < -0.5
        assert (row["n"], row["not_positive"]) == (len(runs), 0)


def over_training(groups, name, pair):
    """Interference of each run, the mean of both measured steps; with its capacity."""
    found = []
    for group, arrays, n_parameters in groups:
        if group.name == name:
            for run_id in sorted(set(arrays["run_id"].tolist())):
                at = arrays["run_id"] == run_id
                mean = arrays[RHO.format(pair)][at].mean()
                if not arrays["diverged"][at].any() and mean > 0:
                    found.append((n_parameters, mean))
    return found


def test_capacity_is_judged_over_training(groups):
    by_capacity = table("interference_by_capacity", groups)
    trends = table("capacity_correlations", groups)
    for row in by_capacity.iter_rows(named=True):
        runs = over_training(groups, row["name"], row["pair"])
        logs = [np.log(mean) for n, mean in runs if n == row["n_parameters"]]
        assert row["n_parameters"] == 100 * row["hidden"] ** 2 * (1 + row["extra_layers"])
        assert row["mean"] == pytest.approx(np.exp(np.mean(logs)))
        assert row["low"] < row["mean"] < row["high"] and row["n"] == len(logs)
        spoilt = (row["name"], row["hidden"], row["extra_layers"]) == ("images", 2, 0)
        assert (row["diverged"], row["not_positive"]) == (spoilt, spoilt)
    for row in trends.iter_rows(named=True):
        runs = np.log(over_training(groups, row["name"], row["pair"]))
        assert row["r"] == pytest.approx(stats.pearsonr(runs[:, 0], runs[:, 1]).statistic)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_says_its_experiment_data_and_counts(groups, name):
    made = table(name, groups)
    assert {"name", "data", "dataset", "task"} <= set(made.columns)
    if name != "generalization_runs":
        assert {"n", "diverged"} <= set(made.columns)
    assert made.equals(table(name, groups)), "same runs, same table"


def test_an_experiment_none_of_whose_runs_count_has_no_numbers():
    groups = measured_groups(["table"])
    groups = [spoil(spoil(group, 0, diverged=True), 1, diverged=True) for group in groups]
    for run in range(2, 6):
        groups = [spoil(group, run, diverged=True) for group in groups]
    for name in set(NAMES) - {"generalization_runs"}:
        made = table(name, groups)
        number = "r" if "r" in made.columns else "mean"
        assert made[number].is_nan().all() and (made["n"] == 0).all()


@pytest.mark.parametrize("value", [np.inf, 3e19, -3e19, np.nan])
def test_a_run_out_of_range_at_one_step_is_left_out_of_the_mean_over_training(value):
    """The mean over ten steps of one number out of range can be within it."""
    group, *rest = measured_groups(["images"])
    clean = table("interference_by_capacity", [group, *rest]).row(0, named=True)
    group.arrays[RHO.format("train_train")][0] = value
    row = table("interference_by_capacity", [group, *rest]).row(0, named=True)
    assert (row["pair"], row["n"], row["diverged"]) == ("train_train", clean["n"] - 1, 1)
    assert np.isfinite(row["mean"]) and row["not_positive"] == 0


def test_a_run_that_diverges_late_is_left_out_of_all():
    (group, *rest) = measured_groups(["images"])
    half = len(group.arrays["run_id"]) // 2
    group.arrays["diverged"][half] = True  # at the second measured step alone
    for pair in PAIRS:
        group.arrays[RHO.format(pair)][half] = np.nan
    row = table("interference_by_capacity", [group, *rest]).row(0, named=True)
    assert row["diverged"] == 1 and np.isfinite(row["mean"])
    assert len(generalization_runs([group], {})) == 2 * half

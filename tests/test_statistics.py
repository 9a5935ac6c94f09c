"""Intervals against scipy and against known distributions; tables."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from td_interference import storage, tables
from td_interference.grid import RunSpec
from td_interference.statistics import mean_over_runs, resampling_note
from td_interference.tables.reduce import compute_table

ARGUMENTS = {"confidence": 0.95, "resamples": 2000}


def test_many_runs_give_scipys_interval():
    generator = np.random.default_rng(0)
    runs = [generator.normal(size=(4, 3)) + k for k in range(6)]
    interval = mean_over_runs(runs, **ARGUMENTS, generator=np.random.default_rng(1))
    means = np.stack([run.mean(axis=0) for run in runs])
    expected = stats.bootstrap(
        (means,),
        np.mean,
        axis=0,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    np.testing.assert_allclose(interval.mean, means.mean(axis=0))
    np.testing.assert_allclose(interval.low, expected.low)
    np.testing.assert_allclose(interval.high, expected.high)


def test_few_runs_count_the_spread_between_and_within_runs():
    generator = np.random.default_rng(0)

    def width(between, within):
        runs = [between * k + within * generator.normal(size=(50, 1)) for k in range(3)]
        interval = mean_over_runs(runs, **ARGUMENTS, generator=np.random.default_rng(0))
        assert interval.low <= interval.mean <= interval.high
        return (interval.high - interval.low).item()

    assert width(0, 0) == 0
    # The mean of three runs 0, 1, 2: resampling them reaches from 0 to 2.
    assert width(1, 0) == pytest.approx(2)
    # Fifty units of sd 1 in each of three runs: 2 x 1.96 / sqrt(150), up to sqrt(2) more for
    # the two stages.
    assert 0.25 < width(0, 1) < 0.6


def test_what_was_not_measured_is_left_out():
    runs = [np.array([[1.0, np.nan], [3.0, np.nan]]), np.array([[np.nan, np.nan], [4.0, np.nan]])]
    interval = mean_over_runs(runs, **ARGUMENTS, generator=np.random.default_rng(0))
    assert interval.mean[0] == 3.0  # the mean of the runs' means 2 and 4
    assert np.isnan(interval.mean[1])


def test_the_note_says_what_is_resampled():
    assert resampling_note(5, "states") == "runs"
    assert resampling_note(3, "states") == "runs and states"
    assert resampling_note(3, "") == "runs"


def fake_measurement(path, run, name, fields):
    table = storage.MEASUREMENTS[name]
    storage.write(path, table, {"update_step": np.array([1, 2]), **fields}, {"run": run.to_dict()})


@pytest.fixture
def measured(run, tmp_path):
    """Made-up measurements of two λ and three seeds; the first checkpoint is a decoy."""
    generator = np.random.default_rng(0)
    runs, paths = [], {name: [] for name in storage.MEASUREMENTS}
    offset = np.arange(-8, 9)
    for lambda_ in (0.0, 1.0):
        for seed in range(3):
            spec = RunSpec.from_dict({**run.to_dict(), "lambda_": lambda_, "seed": seed})
            runs.append(spec)
            level = 0.1 + 0.5 * lambda_ + 0.01 * seed
            cosine = np.full((2, 4, 5, 17), level) + 0.001 * generator.normal(size=(2, 4, 5, 17))
            cosine[..., offset == 0] = 1
            cosine[0] = -1
            cosine[1, 0, 0, :3] = np.nan
            gain = np.full((2, 3, 8, 17), level)
            singular = np.tile(np.linspace(2, 1, 6) + level, (2, 1))
            for name, fields in {
                "stiffness": {"offset": offset, "first_anchor": np.arange(4), "cosine": cosine},
                "gain": {"offset": offset, "gain": gain, "gain_unrelated": np.zeros((2, 3, 4))},
                "singular_values": {"singular_value": singular},
                "sign_variance": {
                    "first_anchor": np.arange(4),
                    "sign_variance": np.full((2, 4), level),
                },
                "function_interference": {
                    "function_interference": np.full((2, 9), level),
                    "squared_norm": np.ones((2, 9)),
                },
            }.items():
                path = tmp_path / name / f"{spec.run_id}.h5"
                fake_measurement(path, spec, name, fields)
                paths[name].append(path)
    return runs, paths


def table_of(name, measured, directory):
    runs, paths = measured
    compute_table(
        name,
        runs,
        paths[tables.entry(name).metric],
        {"confidence": 0.95, "resamples": 200},
        directory / f"{name}.parquet",
        directory / f"{name}.csv",
    )
    return pl.read_parquet(directory / f"{name}.parquet")


@pytest.mark.parametrize("name", [entry.name for entry in tables.TABLES])
def test_tables_are_tidy(measured, tmp_path, name):
    table = table_of(name, measured, tmp_path)
    key = "objective" if name.endswith("objective") else "lambda"
    axis = [column for column in ("offset", "index") if column in table.columns]
    assert table.columns == ["game", key, *axis, "mean", "low", "high", "n"]
    assert table["n"].unique().to_list() == [6 if key == "objective" else 3]
    assert table.filter(
        (pl.col("low") > pl.col("mean")) | (pl.col("mean") > pl.col("high"))
    ).is_empty()
    assert pl.read_csv(tmp_path / f"{name}.csv").columns == table.columns


def test_stiffness_table_averages_the_last_checkpoint(measured, tmp_path):
    table = table_of("stiffness_by_lambda", measured, tmp_path)
    line = table.filter(pl.col("lambda") == 1.0).sort("offset")
    assert line["offset"].to_list() == list(range(-8, 9))
    assert line.filter(pl.col("offset") == 0)["mean"].item() == pytest.approx(1)
    assert line.filter(pl.col("offset") == 3)["mean"].item() == pytest.approx(0.61, abs=0.002)
    near = table_of("stiffness_nearby_by_lambda", measured, tmp_path)
    np.testing.assert_allclose(near["mean"], [0.11, 0.61], atol=0.002)


def test_nearby_takes_offsets_1_to_5_alone(run, tmp_path):
    offset = np.arange(-8, 9)
    cosine = np.tile(offset.astype(float), (2, 2, 2, 1))
    paths = [tmp_path / "m.h5"]
    fake_measurement(
        paths[0],
        run,
        "stiffness",
        {"offset": offset, "first_anchor": np.arange(2), "cosine": cosine},
    )
    table = table_of("stiffness_nearby_by_lambda", ([run], {"stiffness": paths}), tmp_path)
    assert table["mean"].item() == 3.0

"""Tables of ρ' at initialisation: statistics against slow twins, intervals, bins."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from td_interference.random_networks import draw, interference_changes
from td_interference.random_studies import Study
from td_interference.seeds import numpy_generator
from td_interference.tables.random_networks import (
    BINS_PER_DECADE,
    STATISTICS,
    MeasuredStudy,
    bin_edges,
    random_networks_histogram,
    random_networks_step_sizes,
    random_networks_summary,
)

STUDY = Study(networks=2, checked_networks=2)
SETTINGS = {"confidence": 0.9, "resamples": 300}
KEY = ["study", "network", "hidden", "normal"]


def measured(changes, study=STUDY):
    return MeasuredStudy(study, {"change": np.asarray(changes)})


def checked(errors, steps, study=STUDY):
    arrays = {"relative_error": np.asarray(errors), "step_size": np.asarray(steps)}
    return MeasuredStudy(study, arrays)


def summary(changes, settings=SETTINGS):
    table = random_networks_summary([measured(changes)], settings)
    return {row["statistic"]: row for row in table.iter_rows(named=True)}


def test_each_statistic_and_its_interval_against_a_slow_twin():
    changes = np.random.default_rng(0).exponential(size=(12, 5)) - 2
    table = random_networks_summary([measured(changes)], SETTINGS)
    assert table.columns == [*KEY, "statistic", "value", "low", "high", "n"]
    assert table["statistic"].to_list() == list(STATISTICS)
    assert table["n"].unique().to_list() == [12]
    assert table.row(0)[:4] == ("mlp-h32-delta-seed0", "mlp", 32, "delta")
    quantiles = {"median": 50, "quantile_05": 5, "quantile_25": 25, "quantile_75": 75}
    twins = {
        "mean": np.mean,
        **{
            name: lambda values, q=q: np.percentile(values, q)
            for name, q in {**quantiles, "quantile_95": 95}.items()
        },
        "skewness": lambda values: np.mean((values - values.mean()) ** 3) / values.std() ** 3,
        "share_negative": lambda values: sum(value < 0 for value in values.ravel()) / values.size,
    }
    generator = numpy_generator("mlp-h32-delta-seed0-summary", "bootstrap")
    drawn = changes[generator.integers(0, 12, (300, 12))]
    for row in table.iter_rows(named=True):
        twin = twins[row["statistic"]]
        assert row["value"] == pytest.approx(twin(changes)), row["statistic"]
        bounds = np.percentile([twin(resample) for resample in drawn], (5, 95))
        assert (row["low"], row["high"]) == pytest.approx(tuple(bounds)), row["statistic"]


def test_the_interval_of_a_mean_is_as_wide_as_it_should_be():
    rows = summary(-np.random.default_rng(0).exponential(size=(400, 25)))
    assert rows["mean"]["low"] < -1 < rows["mean"]["high"]
    assert rows["median"]["low"] < -np.log(2) < rows["median"]["high"]
    width = rows["mean"]["high"] - rows["mean"]["low"]
    assert width == pytest.approx(2 * stats.norm.ppf(0.95) / 100, rel=0.2)
    assert rows["share_negative"]["low"] == rows["share_negative"]["high"] == 1


def test_networks_are_resampled_whole():
    """Pairs that all agree within a network add nothing to what is known."""
    one_per_network = np.random.default_rng(0).normal(size=(50, 1))
    few, many = summary(one_per_network), summary(np.repeat(one_per_network, 100, axis=1))
    for name in ("mean", "share_negative"):
        assert many[name]["low"] == pytest.approx(few[name]["low"])
        assert many[name]["high"] == pytest.approx(few[name]["high"])


def test_the_papers_finding_at_small_scale():
    """Section 6: median below 0 but close to it, mean further below, heavier lower tail.

    Skewness, the third moment of tails this heavy, is left out: its sign needs far more networks.
    """
    study = Study(network="mlp", hidden=8, networks=40, samples=8)
    rows = summary([interference_changes(draw(study, number)) for number in range(40)])
    assert rows["mean"]["high"] < rows["median"]["low"] < rows["median"]["high"] < 0
    assert rows["share_negative"]["low"] > 0.5
    assert rows["quantile_05"]["high"] < -rows["quantile_95"]["high"]


def test_bins_by_hand():
    """A tenth of the sizes but 0 are below 0.3: bins are even up to 0.1. The largest is 7."""
    changes = np.array([*[0.0] * 3, 0.15, 0.3, *[3.0] * 6, -5.0, -7.0])
    edges = bin_edges(changes)
    ratio = 10 ** (1 / BINS_PER_DECADE)
    assert len(edges) == 1 + 2 * 3 * BINS_PER_DECADE
    np.testing.assert_allclose(edges, -edges[::-1], atol=1e-15)
    assert edges[-1] == 10
    inner = np.abs(edges) <= 0.1 + 1e-12
    np.testing.assert_allclose(edges[inner], np.linspace(-0.1, 0.1, 2 * BINS_PER_DECADE + 1))
    outer = edges[edges >= 0.1 - 1e-12]
    np.testing.assert_allclose(outer[1:] / outer[:-1], ratio)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3, 10 ** np.float64(0.3)])
def test_every_sample_is_in_a_bin(scale):
    """Sizes that are powers of ten fall on edges."""
    powers = np.array([[1, -1, 10, 100], [-1000, 1e-3, 0, 1000]]) * scale
    for changes in (powers, np.full((2, 4), scale), np.nextafter(powers, np.inf)):
        table = random_networks_histogram([measured(changes)], SETTINGS)
        assert table["count"].sum() == 8
        assert table["share"].sum() == pytest.approx(1)


def test_the_histogram_counts_by_bin():
    changes = np.array([[-30.0, 0.5, 3.0], [-30.0, 0.7, 4.0]])
    other = measured(changes * 100, replace(STUDY, network="q", hidden=4))
    table = random_networks_histogram([measured(changes), other], SETTINGS)
    assert table.columns == [*KEY, "bin_low", "bin_high", "count", "share", "n"]
    assert table["study"].unique(maintain_order=True).to_list() == [
        "mlp-h32-delta-seed0",
        "q-h4-delta-seed0",
    ]
    first = table.filter(pl.col("network") == "mlp")
    for row in first.iter_rows(named=True):
        inside = sum(row["bin_low"] <= value < row["bin_high"] for value in changes.ravel())
        assert row["count"] == inside and row["share"] == pytest.approx(inside / 6)
    assert first["n"].unique().to_list() == [2]
    assert first["bin_low"].to_list()[1:] == first["bin_high"].to_list()[:-1]
    second = table.filter(pl.col("network") == "q")
    np.testing.assert_allclose(second["bin_low"], 100 * first["bin_low"], atol=1e-12)
    assert second["count"].to_list() == first["count"].to_list()


def test_step_sizes_keep_the_median_over_networks():
    generator = np.random.default_rng(0)
    errors = 10.0 ** generator.normal(size=(7, 2)) * [0.01, 100]
    table = random_networks_step_sizes([checked(errors, [1e-5, 1e-3])], SETTINGS)
    assert table.columns == [*KEY, "step_size", "median", "low", "high", "n"]
    assert table["step_size"].to_list() == [1e-5, 1e-3]
    assert table["median"].to_list() == [sorted(column)[3] for column in errors.T]
    chosen = numpy_generator("mlp-h32-delta-seed0-step_sizes", "bootstrap").integers(0, 7, (300, 7))
    medians = np.median(errors[chosen], axis=1)
    np.testing.assert_allclose(table["low"], np.percentile(medians, 5, axis=0))
    np.testing.assert_allclose(table["high"], np.percentile(medians, 95, axis=0))
    assert table["n"].to_list() == [7, 7]


def test_two_networks_are_enough():
    rows = summary([[-1.0, 2.0], [-3.0, 5.0]])
    assert rows["mean"]["low"] == pytest.approx(0.5) and rows["mean"]["high"] == pytest.approx(1)
    table = random_networks_step_sizes([checked([[0.1], [0.3]], [1e-4])], SETTINGS)
    assert table.row(0)[-4:] == pytest.approx((0.2, 0.1, 0.3, 2))

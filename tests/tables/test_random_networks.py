"""Tables of ρ' at initialisation: statistics against slow twins, intervals, bins."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from td_interference.planning.studies import Study
from td_interference.random_networks import draw, interference_changes
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
FAST = {"confidence": 0.9, "resamples": 100}
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
    drawn = numpy_generator("mlp-h32-delta-seed0-summary", "bootstrap").integers(0, 12, (300, 12))
    for row in table.iter_rows(named=True):
        twin = twins[row["statistic"]]
        assert row["value"] == pytest.approx(twin(changes)), row["statistic"]
        if row["statistic"] == "mean":
            student = stats.ttest_1samp(changes.mean(axis=1), 0).confidence_interval(0.9)
            assert row["low"] <= student.low + 1e-9 and student.high - 1e-9 <= row["high"]
            continue
        error = np.std([twin(changes[numbers]) for numbers in drawn], ddof=1) * np.sqrt(12 / 11)
        reach = stats.t.ppf(0.95, 11) * error
        bounds = (row["value"] - reach, row["value"] + reach)
        if row["statistic"] == "share_negative":
            bounds = (bounds[0], min(bounds[1], 1))
        assert (row["low"], row["high"]) == pytest.approx(bounds), row["statistic"]


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, 12])
def test_statistics_of_few_networks_are_covered(n):
    """Networks differ in size; the percentile bootstrap of four covers 50% to 72% here."""
    generator = np.random.default_rng(0)

    def drawn(number):
        return np.exp(0.3 * generator.normal(size=(number, 1))) * generator.normal(
            size=(number, 20)
        )

    names = [name for name in STATISTICS if name != "skewness"]
    truth = {
        name: row["value"] for name, row in summary(drawn(20_000), {**FAST, "resamples": 2}).items()
    }
    found = [summary(drawn(n), FAST) for _ in range(200)]
    for name in names:
        covered = np.mean([row[name]["low"] <= truth[name] <= row[name]["high"] for row in found])
        assert 0.83 <= covered <= 0.97, name  # nominal 90%, of 200


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
    # Of seven, the second and the sixth: the median is outside with probability 2 · 8/128.
    for column, low, high in zip(errors.T, table["low"], table["high"], strict=True):
        assert (low, high) == (sorted(column)[0], sorted(column)[6])
    assert table["n"].to_list() == [7, 7]


def test_medians_of_networks_are_covered():
    """Of eight, the median is between the second and the seventh with probability 93%."""
    errors = np.random.default_rng(0).lognormal(size=(8, 2000))
    table = random_networks_step_sizes([checked(errors, np.arange(2000.0))], SETTINGS)
    covered = ((table["low"] <= 1) & (table["high"] >= 1)).mean()
    assert 0.9 <= covered <= 0.95
    assert table["low"][0] == sorted(errors[:, 0])[1]


def test_two_networks_are_enough():
    rows = summary([[-1.0, 2.0], [-3.0, 5.0]])
    student = stats.ttest_1samp([0.5, 1.0], 0).confidence_interval(0.9)
    assert (rows["mean"]["low"], rows["mean"]["high"]) == pytest.approx(tuple(student))
    table = random_networks_step_sizes([checked([[0.1], [0.3]], [1e-4])], SETTINGS)
    (median, low, high, n) = table.row(0)[-4:]
    assert median == pytest.approx(0.2) and n == 2 and np.isnan([low, high]).all()

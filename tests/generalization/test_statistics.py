"""Correlations and intervals against scipy on known data; nothing is dropped in silence."""

import warnings

import numpy as np
import pytest
from scipy import stats

from td_interference.tables.correlations import pearson
from td_interference.tables.gap_correlations import (
    Design,
    LeftOut,
    capacity_correlation,
    correlation_by_size,
    interference_correlation,
    regression_line,
    size_correlation,
)


def design(n, n_train=None):
    """Runs of cells of one each."""
    return Design(np.arange(n), np.full(n, 100) if n_train is None else np.asarray(n_train))


@pytest.fixture
def runs():
    """Forty runs whose log interference and gap correlate at about 0.8."""
    generator = np.random.default_rng(0)
    log = generator.normal(size=40)
    gap = log + 0.7 * generator.normal(size=40)
    return np.exp(log), gap, np.zeros(40, dtype=bool)


def test_r_is_scipys_and_the_interval_is_over_cells(runs):
    interference, gap, diverged = runs
    cells = np.repeat(np.arange(10), 4)
    one_size = np.full(40, 100)
    found = interference_correlation(interference, gap, diverged, Design(cells, one_size), 0.9)
    log = np.log(interference)
    assert found.r == pytest.approx(stats.pearsonr(log, gap).statistic)
    expected = pearson(log, gap, confidence=0.9, cells=cells)
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (found.n_runs, found.n_cells, found.left_out) == (40, 10, LeftOut(0, 0))


def test_cells_vary_within_training_sizes(runs):
    sizes = np.repeat([20, 100], 20)
    cells = np.tile(np.repeat(np.arange(5), 4), 2)
    found = interference_correlation(*runs, Design(cells, sizes), 0.9)
    expected = pearson(np.log(runs[0]), runs[1], confidence=0.9, cells=cells, strata=sizes)
    assert (found.low, found.high, found.n_cells) == (expected.low, expected.high, 10)


def test_a_surer_interval_is_wider(runs):
    half, most = (interference_correlation(*runs, design(40), level) for level in (0.5, 0.99))
    assert most.low < half.low < half.r < half.high < most.high


def test_what_is_left_out_is_counted_once_and_changes_nothing(runs):
    bad = [  # interference, gap, diverged
        (2.0, 0.5, True),
        (-1.0, 0.5, True),  # diverged and negative: diverged
        (np.nan, 0.5, False),
        (2.0, np.nan, False),
        (np.inf, 0.5, False),
        (1e20, 0.5, False),  # its square is beyond float32
        (2.0, -1e20, False),
        (0.0, 0.5, False),
        (-3.0, 0.5, False),
    ]
    longer = [np.concatenate([a, b]) for a, b in zip(runs, zip(*bad, strict=True), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = interference_correlation(*longer, design(49), 0.9)
        line = regression_line(*longer)
    clean = interference_correlation(*runs, design(40), 0.9)
    assert found.left_out == line.left_out == LeftOut(diverged=7, not_positive=2)
    assert found[:5] == clean[:5]
    assert line[:3] == regression_line(*runs)[:3]


def test_sizes_are_apart_and_ascending(runs):
    interference, gap, diverged = runs
    sizes = np.where(np.arange(40) < 25, 100, 20)
    diverged = diverged | (np.arange(40) == 39)
    found = correlation_by_size(interference, gap, diverged, design(40, sizes), 0.9)
    assert list(found) == [20, 100]
    assert [one.n_runs for one in found.values()] == [14, 25]
    assert [one.left_out.diverged for one in found.values()] == [1, 0]
    for size, one in found.items():
        own = (sizes == size) & ~diverged
        expected = stats.pearsonr(np.log(interference[own]), gap[own])
        assert one.r == pytest.approx(expected.statistic)


def test_gap_that_falls_with_the_log_of_size():
    sizes = np.array([20, 100, 500, 1000])
    twice = design(8, np.repeat(sizes, 2))
    exact = size_correlation(np.repeat(5 - np.log(sizes), 2), [False] * 8, twice, 0.9)
    assert exact.r == pytest.approx(-1) and exact.high == pytest.approx(-1)
    linear = size_correlation(5 - sizes, [False] * 4, design(4, sizes), 0.9)
    assert linear.r == pytest.approx(stats.pearsonr(np.log(sizes), -sizes).statistic)
    assert linear.r > -0.95
    one_lost = size_correlation([9, 1, 2, 3], [True, *[False] * 3], design(4, sizes), 0.9)
    assert one_lost.r > 0.9 and one_lost.left_out == LeftOut(1, 0)


def test_capacity_against_interference_is_on_two_log_axes(runs):
    interference, _, diverged = runs
    capacity = interference**-2
    found = capacity_correlation(capacity, interference, diverged, design(40), 0.9)
    assert found.r == pytest.approx(-1)


def test_the_line_is_scipys(runs):
    interference, gap, diverged = runs
    line = regression_line(interference, gap, diverged)
    expected = stats.linregress(np.log(interference), gap)
    assert (line.slope, line.intercept) == pytest.approx((expected.slope, expected.intercept))
    exact = regression_line([1, np.e, np.e**2], [3, 5, 7], [False] * 3)
    assert (exact.slope, exact.intercept, exact.n_runs) == pytest.approx((2, 3, 3))


@pytest.mark.parametrize(
    ("interference", "gap"),
    [
        ([1, 2], [1, 2]),
        ([2, 2, 2, 2], [1, 2, 3, 4]),
        ([1, 2, 3, 4], [2, 2, 2, 2]),
        ([1, 1 + 1e-15, 1, 1 - 1e-15, 1], [1, 2, 3, 4, 5]),  # logarithms of 1 but for rounding
        (range(1, 7), [0.3, 0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2, 0.3]),
        (range(1, 7), [0.0, 0.1 + 0.2 - 0.3, 0.0, 1 - 0.9 - 0.1, 0.0, 0.0]),  # gaps of 0
        ([], []),
    ],
)
def test_too_little_says_nothing(interference, gap):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        n = len(gap)
        found = interference_correlation(interference, gap, [False] * n, design(n), 0.9)
    assert np.isnan([found.r, found.low, found.high]).all() and found.n_runs == len(gap)


def test_three_runs_have_r_and_no_interval():
    found = interference_correlation([1, 2, 3], [1, 3, 2], [False] * 3, design(3), 0.9)
    assert np.isfinite(found.r) and np.isnan([found.low, found.high]).all()


def test_one_interference_alone_has_no_line():
    line = regression_line([2, 2, 2], [1, 2, 3], [False] * 3)
    assert np.isnan([line.slope, line.intercept]).all()

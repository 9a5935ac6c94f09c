"""Correlations and intervals against scipy on known data; nothing is dropped in silence."""

import warnings

import numpy as np
import pytest
from scipy import stats

from td_interference.generalization.statistics import (
    LeftOut,
    Resampling,
    capacity_correlation,
    correlation_by_size,
    interference_correlation,
    regression_line,
    size_correlation,
)


def resampling(seed=1, confidence=0.9, resamples=999):
    return Resampling(confidence, resamples, np.random.default_rng(seed))


@pytest.fixture
def runs():
    """Forty runs whose log interference and gap correlate at about 0.8."""
    generator = np.random.default_rng(0)
    log = generator.normal(size=40)
    gap = log + 0.7 * generator.normal(size=40)
    return np.exp(log), gap, np.zeros(40, dtype=bool)


def test_r_and_its_interval_are_scipys(runs):
    interference, gap, diverged = runs
    found = interference_correlation(interference, gap, diverged, resampling())
    log = np.log(interference)
    assert found.r == pytest.approx(stats.pearsonr(log, gap).statistic)
    expected = stats.bootstrap(
        (log, gap),
        lambda x, y, axis: stats.pearsonr(x, y, axis=axis).statistic,
        paired=True,
        n_resamples=999,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.n_runs, found.left_out) == (40, LeftOut(0, 0))


def test_a_surer_interval_is_wider(runs):
    half, most = (
        interference_correlation(*runs, resampling(confidence=level)) for level in (0.5, 0.99)
    )
    assert most.low < half.low < half.r < half.high < most.high


def test_what_is_left_out_is_counted_once_and_changes_nothing(runs):
    bad = [  # interference, gap, diverged
        (2.0, 0.5, True),
        (-1.0, 0.5, True),  # diverged and negative: diverged
        (np.nan, 0.5, False),
        (2.0, np.nan, False),
        (np.inf, 0.5, False),
        (0.0, 0.5, False),
        (-3.0, 0.5, False),
    ]
    longer = [np.concatenate([a, b]) for a, b in zip(runs, zip(*bad, strict=True), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = interference_correlation(*longer, resampling())
        line = regression_line(*longer)
    clean = interference_correlation(*runs, resampling())
    assert found.left_out == line.left_out == LeftOut(diverged=5, not_positive=2)
    assert found[:4] == clean[:4]
    assert line[:3] == regression_line(*runs)[:3]


def test_sizes_are_apart_and_ascending(runs):
    interference, gap, diverged = runs
    sizes = np.where(np.arange(40) < 25, 100, 20)
    diverged = diverged | (np.arange(40) == 39)
    found = correlation_by_size(sizes, interference, gap, diverged, resampling())
    assert list(found) == [20, 100]
    assert [one.n_runs for one in found.values()] == [14, 25]
    assert [one.left_out.diverged for one in found.values()] == [1, 0]
    for size, one in found.items():
        own = (sizes == size) & ~diverged
        expected = stats.pearsonr(np.log(interference[own]), gap[own])
        assert one.r == pytest.approx(expected.statistic)


def test_gap_that_falls_with_the_log_of_size():
    sizes = np.array([20, 100, 500, 1000])
    exact = size_correlation(sizes, 5 - np.log(sizes), [False] * 4, resampling())
    assert exact.r == pytest.approx(-1) and exact.low == pytest.approx(-1)
    linear = size_correlation(sizes, 5 - sizes, [False] * 4, resampling())
    assert linear.r == pytest.approx(stats.pearsonr(np.log(sizes), -sizes).statistic)
    assert linear.r > -0.95
    one_lost = size_correlation(sizes, [9, 1, 2, 3], [True, False, False, False], resampling())
    assert one_lost.r > 0.9 and one_lost.left_out == LeftOut(1, 0)


def test_capacity_against_interference_is_on_two_log_axes(runs):
    interference, _, diverged = runs
    capacity = interference**-2
    found = capacity_correlation(capacity, interference, diverged, resampling())
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
    [([1, 2], [1, 2]), ([2, 2, 2, 2], [1, 2, 3, 4]), ([1, 2, 3, 4], [2, 2, 2, 2]), ([], [])],
)
def test_too_little_says_nothing(interference, gap):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = interference_correlation(interference, gap, [False] * len(gap), resampling())
    assert np.isnan([found.r, found.low, found.high]).all() and found.n_runs == len(gap)


def test_a_resample_of_one_run_alone_does_not_spoil_the_interval():
    """Of three runs, one resample in nine is thrice the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = interference_correlation([1, 2, 3], [1, 3, 2], [False] * 3, resampling())
    assert -1 <= found.low <= found.r <= found.high <= 1


def test_one_interference_alone_has_no_line():
    line = regression_line([2, 2, 2], [1, 2, 3], [False] * 3)
    assert np.isnan([line.slope, line.intercept]).all()

"""Intervals against scipy and against known distributions."""

import numpy as np
import pytest
from scipy import stats

from td_interference.statistics import mean_over_runs, pearson, resampling_note

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


def test_pearson_is_scipys_with_an_interval_that_covers():
    generator = np.random.default_rng(0)
    x = generator.normal(size=40)
    y = 0.6 * x + generator.normal(size=40)
    correlation = pearson(x, y, **ARGUMENTS, generator=np.random.default_rng(1))
    expected = stats.bootstrap(
        (x, y),
        lambda x, y, axis: stats.pearsonr(x, y, axis=axis).statistic,
        paired=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert correlation.r == pytest.approx(stats.pearsonr(x, y).statistic)
    assert (correlation.low, correlation.high) == pytest.approx((expected.low, expected.high))
    assert correlation.n == 40
    # The pairing matters: shuffled, r is near 0.
    shuffled = pearson(x, generator.permutation(y), **ARGUMENTS, generator=generator)
    assert shuffled.low < 0 < shuffled.high


def test_pearson_knows_where_it_is_not_defined():
    x = np.arange(5.0)
    same = np.ones(5)
    constant = pearson(x, same, **ARGUMENTS, generator=np.random.default_rng(0))
    assert np.isnan([constant.r, constant.low, constant.high]).all() and constant.n == 5
    two = pearson(x[:2], x[:2], **ARGUMENTS, generator=np.random.default_rng(0))
    assert np.isnan(two.r) and two.n == 2
    # Some resamples of three pairs are constant; they are left out, not the interval with them.
    three = pearson(x[:3], -x[:3], **ARGUMENTS, generator=np.random.default_rng(0))
    assert (three.r, three.low, three.high) == pytest.approx((-1, -1, -1))

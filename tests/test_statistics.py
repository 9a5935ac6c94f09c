"""Intervals of means: what they cover, by simulation, and against scipy and known cases."""

import numpy as np
import pytest
from scipy import stats

from td_interference.statistics import (
    FEWEST_RESAMPLED,
    constant,
    difference_of_means,
    interval_note,
    mean_interval,
    mean_where_known,
    out_of_range,
)

ARGUMENTS = {"confidence": 0.95, "resamples": 999}


def interval_of(values, seed=0):
    return mean_interval(values, **ARGUMENTS, generator=np.random.default_rng(seed))


def normal(generator, shape):
    return generator.normal(size=shape)


def skewed(generator, shape):
    """Of mean 0, variance 1 and skewness 0.8."""
    return (generator.gamma(6.25, size=shape) - 6.25) / 2.5


@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize("effect", [normal, skewed])
@pytest.mark.parametrize("between", [0.5, 1.0, 5.0])
def test_nominal_95_percent_cover_93_to_98(n, effect, between):
    """Runs differ by their own effect, of so many within-run errors of their means."""
    generator = np.random.default_rng(n)
    shape = (n, 8_000 if n < FEWEST_RESAMPLED else 3_000)
    values = between * effect(generator, shape) + generator.normal(size=shape)
    found = interval_of(values)
    covered = np.mean((found.low <= 0) & (found.high >= 0))
    assert 0.93 <= covered <= 0.98


@pytest.mark.parametrize("n", [10, 20])
def test_many_strongly_skewed_runs_are_covered_too(n):
    """Of exponential ones, Student's t of 10 runs covers 89%."""
    values = np.random.default_rng(n).exponential(size=(n, 4_000)) - 1
    found = interval_of(values)
    assert 0.93 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 0.98


@pytest.mark.parametrize("n", [3, 5, FEWEST_RESAMPLED - 1])
def test_few_strongly_skewed_runs_are_covered_less_often_as_the_documentation_says(n):
    """They do not show their own skewness: 88% to 90% of exponential ones."""
    values = np.random.default_rng(n).exponential(size=(n, 20_000)) - 1
    found = interval_of(values)
    assert 0.87 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 0.91


@pytest.mark.parametrize("n", [2, 3, FEWEST_RESAMPLED - 1])
def test_few_runs_have_students_interval(n):
    values = np.random.default_rng(n).normal(size=(n, 4, 2))
    found = interval_of(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(found.mean, values.mean(axis=0))
    np.testing.assert_allclose(found.low, expected.low)
    np.testing.assert_allclose(found.high, expected.high)


def test_of_many_runs_each_side_is_the_further_of_student_and_bootstrap_t():
    values = np.random.default_rng(0).exponential(size=(20, 1))
    found = interval_of(values)
    student = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    drawn = np.random.default_rng(1).choice(values[:, 0], (20_000, 20))
    t = (drawn.mean(1) - values.mean()) / stats.sem(drawn, axis=1)
    low, high = np.quantile(t, (0.025, 0.975))
    slow = values.mean() - np.array([high, low]) * stats.sem(values[:, 0])
    assert slow[1] > student.high[0] and slow[0] > student.low[0], "skewed to the right"
    assert found.low[0] == pytest.approx(student.low[0])
    assert found.high[0] == pytest.approx(slow[1], rel=0.1)


def test_the_unit_is_the_run_not_what_is_drawn_within_it():
    """A thousand states of each of three runs say no more than the runs' means do."""
    generator = np.random.default_rng(0)
    runs = [k + generator.normal(size=(1000, 1)) for k in range(3)]
    found = interval_of([mean_where_known(run) for run in runs])
    of_means = interval_of([run.mean(axis=0) for run in runs])
    assert found.low == of_means.low and found.high == of_means.high
    assert found.high - found.low > 4


def test_who_has_nothing_at_a_position_neither_counts_nor_contributes():
    runs = [np.full((3, 2), 2.0) for _ in range(5)]
    runs[4][:, 0] = np.nan
    found = interval_of([mean_where_known(run) for run in runs])
    for bound in found[:3]:
        assert bound.tolist() == [2.0, 2.0]
    assert found.n.tolist() == [4, 5]


@pytest.mark.parametrize("n", [4, 12])
def test_positions_of_other_runs_are_as_if_alone(n):
    values = np.random.default_rng(0).normal(size=(n, 3))
    values[0, 1] = values[[1, 2], 2] = np.nan
    found = interval_of(values)
    for position, missing in enumerate(([], [0], [1, 2])):
        alone = np.delete(values[:, position], missing)
        assert found.n[position] == len(alone)
        assert found.mean[position] == pytest.approx(alone.mean())
        student = stats.ttest_1samp(alone, 0).confidence_interval(0.95)
        assert found.low[position] <= student.low + 1e-12
        if len(alone) < FEWEST_RESAMPLED:
            assert found.low[position] == pytest.approx(student.low)


def test_one_run_has_no_interval_and_none_has_no_mean():
    found = interval_of([[1.0, np.nan], [np.nan, np.nan]])
    assert found.mean[0] == 1 and np.isnan(found.mean[1]) and found.n.tolist() == [1, 0]
    assert np.isnan([found.low, found.high]).all()


def test_units_that_were_not_measured_are_left_out_of_a_run():
    runs = [np.array([[1.0], [3.0], [np.nan]]), np.array([[np.nan], [4.0], [np.nan]])]
    found = interval_of([mean_where_known(run) for run in runs])
    assert found.mean[0] == 3.0 and found.n[0] == 2  # the mean of the runs' means 2 and 4


@pytest.mark.parametrize("values", [[0.3] * 15, [0.0] * 14 + [1.0], [0.0] * 7 + [1.0] * 7])
def test_ties_leave_the_interval_finite(values):
    found = interval_of(np.array(values)[:, None])
    assert np.isfinite([found.low, found.high]).all()
    assert found.low <= found.mean + 1e-12 and found.mean <= found.high + 1e-12


def test_a_difference_is_welchs():
    generator = np.random.default_rng(0)
    a, b = generator.normal(3, 1, 5), generator.normal(0, 5, 9)
    found = difference_of_means(a, b, confidence=0.9)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert found == pytest.approx((a.mean() - b.mean(), expected.low, expected.high))
    one = difference_of_means([1], b, confidence=0.9)
    assert one.value == pytest.approx(1 - b.mean()) and np.isnan(one[1:]).all()
    assert difference_of_means([21, 21], [0, 0], confidence=0.9) == (21, 21, 21)


def test_differences_decide_where_overlap_cannot():
    """Intervals of both means overlap, that of the difference leaves 0 out."""
    b = np.linspace(-1, 1, 20)
    a = b + 0.5
    overlap = interval_of(b[:, None]).high[0] - interval_of(a[:, None]).low[0]
    assert overlap > 0 and difference_of_means(a, b, confidence=0.95).low > 0


@pytest.mark.parametrize(
    ("values", "scale", "same"),
    [
        ([0.3, 0.1 + 0.2, 0.3], 0, True),
        ([np.float32(0.3), 0.3], 0, True),
        ([1e-9, 2e-9], 0, False),
        ([0.0, 0.1 + 0.2 - 0.3], 0, False),
        ([0.0, 0.1 + 0.2 - 0.3], 1, True),
        ([5.0], 0, True),
        ([], 0, True),
        ([1.0, 1.001], 1, False),
    ],
)
def test_constant_but_for_rounding(values, scale, same):
    assert constant(values, scale) == same


def test_what_float32_cannot_square_is_out_of_range():
    values = [np.inf, -np.inf, 2e19, -2e19, 1e19, 0.0, np.nan]
    assert out_of_range(values).tolist() == [True] * 4 + [False] * 3


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([3, 3], "95% interval over runs"),
        ([3, 0, 10], "95% interval over runs"),
        ([1, 1], "no interval with one run"),
        ([0], "no interval with one run"),
        ([1, 3], "95% interval over runs, where there are two"),
    ],
)
def test_the_note_says_what_the_interval_is_over(counts, said):
    assert interval_note(counts, 0.95) == said

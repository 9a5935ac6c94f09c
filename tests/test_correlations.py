"""Pearson's r and what its interval covers where runs repeat the cells of a grid, by simulation."""

import warnings

import numpy as np
import pytest
from scipy import stats

from td_interference.tables.correlations import Correlation, pearson


def draw(generator, shape, share, between, within):
    """Runs of cells, [*shape, seeds, 2], whose shared effects are `share` of the variance.

    The two numbers of a run correlate by `between` in the cells' effects, `within` in the rest.
    """
    parts = []
    for variance, r, size in ((share, between, (*shape[:-1], 1)), (1 - share, within, shape)):
        factor = np.linalg.cholesky([[1, r], [r, 1]])
        parts.append(np.sqrt(variance) * generator.normal(size=(*size, 2)) @ factor.T)
    return parts[0] + parts[1]


def coverage(samples, truth, confidence, strata=False):
    """Share of samples, [samples, strata, cells, seeds, 2], whose interval has the true r."""
    levels, cells, seeds = samples.shape[1:4]
    labels = np.repeat(np.arange(levels * cells), seeds)
    level = np.repeat(np.arange(levels), cells * seeds)
    covered = 0
    for sample in samples.reshape(len(samples), -1, 2):
        found = pearson(
            *sample.T, confidence=confidence, cells=labels, strata=level if strata else None
        )
        covered += found.low <= truth <= found.high
    return covered / len(samples)


@pytest.mark.parametrize("share", [0.0, 0.9])
@pytest.mark.parametrize("r", [0.0, 0.6])
@pytest.mark.parametrize("n_cells", [4, 9])
def test_nominal_95_percent_cover_93_to_98_whatever_seeds_share(share, r, n_cells):
    generator = np.random.default_rng(n_cells)
    samples = draw(generator, (1500, 1, n_cells, 3), share, r, r)
    assert 0.93 <= coverage(samples, r, 0.95) <= 0.98


@pytest.mark.parametrize(("between", "within"), [(0.7, 0.0), (0.0, 0.7)])
def test_cells_and_seeds_may_correlate_differently(between, within):
    generator = np.random.default_rng(0)
    samples = draw(generator, (1500, 1, 9, 3), 0.8, between, within)
    assert 0.92 <= coverage(samples, 0.8 * between + 0.2 * within, 0.95) <= 0.98


@pytest.mark.parametrize(("levels", "cells"), [(3, 2), (5, 6)])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_cells_within_strata_of_a_fixed_factor_are_covered(levels, cells, share):
    """The factor moves both numbers; its levels are the same in every sample."""
    generator = np.random.default_rng(levels)
    level = np.linspace(-1.5, 1.5, levels)[:, None, None]
    samples = draw(generator, (800, levels, cells, 3), share, 0.6, 0.6)
    samples[..., 0] += 0.5 * level
    samples[..., 1] += level
    spread = np.var(level)
    truth = (0.6 + 0.5 * spread) / np.sqrt((1 + 0.25 * spread) * (1 + spread))
    assert 0.92 <= coverage(samples, truth, 0.95, strata=True) <= 0.985


def test_r_is_scipys_and_the_interval_a_slow_jackknifes():
    generator = np.random.default_rng(0)
    cells = np.repeat(list("abcdef"), 3)
    x = np.repeat(generator.normal(size=6), 3) + 0.3 * generator.normal(size=18)
    y = 5 + 0.6 * x + generator.normal(size=18)
    found = pearson(x, y, confidence=0.9, cells=cells)
    z = np.arctanh(
        [stats.pearsonr(x[cells != cell], y[cells != cell]).statistic for cell in "abcdef"]
    )
    r = stats.pearsonr(x, y).statistic
    reach = stats.t.ppf(0.95, 5) * np.sqrt(5 / 6 * np.sum((z - z.mean()) ** 2))
    expected = np.tanh(np.arctanh(r) + reach * np.array([-1, 1]))
    assert found == pytest.approx((r, *expected, 18, 6))
    # Its scale does not matter.
    scaled = pearson(1e-9 * x, 1e9 * y, confidence=0.9, cells=cells)
    assert scaled == pytest.approx(found)


def test_a_stratum_keeps_its_weight_when_it_loses_a_cell():
    """Against the stratified jackknife, cell by cell, with Satterthwaite's degrees of freedom."""
    generator = np.random.default_rng(0)
    sizes = {20: 2, 50: 3, 90: 4}  # cells of each stratum, two runs each
    strata = np.repeat(list(sizes), [2 * n for n in sizes.values()])
    cells = np.repeat(np.arange(9), 2)
    x = np.log(strata) + generator.normal(size=18)
    y = x + np.repeat(generator.normal(size=9), 2)
    found = pearson(x, y, confidence=0.9, cells=cells, strata=strata)
    variances = []
    for stratum, n in sizes.items():
        z = []
        for cell in np.unique(cells[strata == stratum]):
            weights = np.where(strata == stratum, n / (n - 1), 1.0) * (cells != cell)
            covariance = np.cov(x, y, aweights=weights)
            z.append(np.arctanh(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])))
        variances.append((n - 1) / n * np.sum((z - np.mean(z)) ** 2))
    free = np.array(list(sizes.values())) - 1
    degrees = np.sum(variances) ** 2 / np.sum(np.square(variances) / free)
    reach = stats.t.ppf(0.95, degrees) * np.sqrt(np.sum(variances))
    r = stats.pearsonr(x, y).statistic
    expected = np.tanh(np.arctanh(r) + reach * np.array([-1, 1]))
    assert found == pytest.approx((r, *expected, 18, 9))


def test_many_independent_pairs_have_fishers_interval():
    generator = np.random.default_rng(0)
    x = generator.normal(size=4000)
    y = 0.5 * x + generator.normal(size=4000)
    found = pearson(x, y, confidence=0.95)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=5e-3)
    assert found.cells == found.n == 4000


def nothing(correlation):
    return bool(np.isnan(correlation[:3]).all())


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.3, 0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2, 0.3], range(1, 7)),
        (range(1, 7), [7.0] * 6),
        (range(1, 7), [np.float32(0.1), 0.1, 0.1, np.float32(0.1), 0.1, 0.1]),
        (range(1, 7), [1, 2, np.nan, 4, 5, 6]),
        ([1, 2, np.nan, 4, 5, 6], [1, 2, np.nan, 4, 5, 6]),
        ([1, 2, np.inf, 4, 5, 6], range(1, 7)),
        ([np.inf] * 6, range(1, 7)),
        ([1, 2], [1, 2]),
        ([], []),
    ],
)
def test_what_says_nothing_has_neither_r_nor_interval(x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pearson(x, y, confidence=0.95)
    assert nothing(found) and found.n == len(x)


def test_too_few_cells_have_r_without_interval():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 12))
    r = stats.pearsonr(x, y).statistic
    for cells, strata in (
        (np.repeat([1, 2, 3], 4), None),
        (np.repeat([1, 2], 6), None),
        (np.tile([1, 2], 6), np.repeat([20, 100], 6)),  # two in each of two strata
        (np.array([9] * 4 + [1, 2, 3, 4] * 2), np.array([0] * 4 + [1] * 8)),  # one alone in one
    ):
        found = pearson(x, y, confidence=0.95, cells=cells, strata=strata)
        assert found.r == pytest.approx(r) and np.isnan([found.low, found.high]).all()
        assert found.cells < 6


def test_cells_of_two_strata_are_two_cells():
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    found = pearson(
        x, y, confidence=0.9, cells=np.tile(["a", "b"], 6), strata=np.repeat([20, 50, 90], 4)
    )
    assert found.cells == 6 and found.low < found.r < found.high


def test_one_cell_that_decides_alone_has_no_interval():
    """Without it, x is constant and nothing is left to correlate."""
    found = pearson([0, 0, 0, 0, 1], [1, 2, 1, 2, 9], confidence=0.95)
    assert found.r > 0.9 and np.isnan([found.low, found.high]).all()


def test_a_line_is_its_own_bound():
    x = np.arange(6.0)
    assert pearson(x, -2 * x, confidence=0.95) == pytest.approx(Correlation(-1, -1, -1, 6, 6))

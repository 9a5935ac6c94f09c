"""Correlations and intervals against scipy on known data; nothing is dropped in silence."""

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats

from td_interference.tables.correlations import pearson
from td_interference.tables.generalization import correlation, least_squares

COUNTS = ("n", "diverged", "not_positive")


def frame(diverged, cells=None, n_train=None):
    """Runs on a grid; of cells of one each, and of one training size, unless told."""
    n = len(diverged)
    return pl.DataFrame(
        {
            "diverged": pl.Series(diverged, dtype=pl.Boolean),
            "cell_id": np.arange(n) if cells is None else cells,
            "n_train": np.full(n, 100) if n_train is None else n_train,
        }
    )


def r_of(positive, other, diverged, confidence=0.9, **grid):
    sides = (np.array(side, dtype=np.float64) for side in (positive, other))
    return correlation(frame(diverged, **grid), *sides, {"confidence": confidence})


def line_of(positive, other, diverged):
    sides = (np.array(side, dtype=np.float64) for side in (positive, other))
    return least_squares(frame(diverged), *sides)


@pytest.fixture
def runs():
    """Forty runs whose log interference and gap correlate at about 0.8."""
    generator = np.random.default_rng(0)
    log = generator.normal(size=40)
    gap = log + 0.7 * generator.normal(size=40)
    return np.exp(log), gap, np.zeros(40, dtype=bool)


def test_r_is_scipys_and_the_interval_is_over_cells(runs):
    cells = np.repeat(np.arange(10), 4)
    found = r_of(*runs, cells=cells)
    log = np.log(runs[0])
    assert found["r"] == pytest.approx(stats.pearsonr(log, runs[1]).statistic)
    expected = pearson(log, runs[1], confidence=0.9, cells=cells)
    assert (found["low"], found["high"]) == (expected.low, expected.high)
    assert (found["cells"], *(found[name] for name in COUNTS)) == (10, 40, 0, 0)


def test_cells_vary_within_training_sizes(runs):
    sizes = np.repeat([20, 100], 20)
    cells = np.tile(np.repeat(np.arange(5), 4), 2)
    found = r_of(*runs, cells=cells, n_train=sizes)
    expected = pearson(np.log(runs[0]), runs[1], confidence=0.9, cells=cells, strata=sizes)
    assert (found["low"], found["high"], found["cells"]) == (expected.low, expected.high, 10)


def test_a_surer_interval_is_wider(runs):
    half, most = (r_of(*runs, confidence=level) for level in (0.5, 0.99))
    assert most["low"] < half["low"] < half["r"] < half["high"] < most["high"]


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
        found, line = r_of(*longer), line_of(*longer)
    assert found == {**r_of(*runs), "diverged": 7, "not_positive": 2}
    assert line == line_of(*runs)


def test_gap_that_falls_with_the_log_of_size():
    sizes = np.array([20, 100, 500, 1000])
    twice = np.repeat(sizes, 2)
    exact = r_of(twice, 5 - np.log(twice), [False] * 8, n_train=twice)
    assert exact["r"] == pytest.approx(-1) and exact["high"] == pytest.approx(-1)
    linear = r_of(sizes, 5 - sizes, [False] * 4, n_train=sizes)
    assert linear["r"] == pytest.approx(stats.pearsonr(np.log(sizes), -sizes).statistic)
    assert linear["r"] > -0.95
    one_lost = r_of(sizes, [9, 1, 2, 3], [True, *[False] * 3], n_train=sizes)
    assert one_lost["r"] > 0.9 and [one_lost[name] for name in COUNTS] == [3, 1, 0]


def test_the_line_is_scipys(runs):
    expected = stats.linregress(np.log(runs[0]), runs[1])
    found = line_of(*runs)
    assert (found["slope"], found["intercept"]) == pytest.approx(
        (expected.slope, expected.intercept)
    )
    exact = line_of([1, np.e, np.e**2], [3, 5, 7], [False] * 3)
    assert exact == pytest.approx({"slope": 2, "intercept": 3})


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
        found = r_of(interference, gap, [False] * len(gap))
    assert np.isnan([found["r"], found["low"], found["high"]]).all() and found["n"] == len(gap)


def test_three_runs_have_r_and_no_interval():
    found = r_of([1, 2, 3], [1, 3, 2], [False] * 3)
    assert np.isfinite(found["r"]) and np.isnan([found["low"], found["high"]]).all()


def test_one_interference_alone_has_no_line():
    line = line_of([2, 2, 2], [1, 2, 3], [False] * 3)
    assert np.isnan([line["slope"], line["intercept"]]).all()

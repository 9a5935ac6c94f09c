"""What tables take from one run: the bars of figure 6 that are over states."""

import numpy as np
import pytest

from td_interference.planning.grid import RunSpec
from td_interference.statistics import mean_interval
from td_interference.tables.plain import number
from td_interference.tables.reduce import Measured


def means_of_states(gradients):
    """Return the mean inner product of each row with all others, as the metric does."""
    products = gradients @ gradients.T
    return (products.sum(axis=1) - products.diagonal()) / (len(products) - 1)


def units_of(gradients):
    run: RunSpec = None  # type: ignore[assignment]  # not asked
    measured = {"function_interference": means_of_states(gradients)[None]}
    item = Measured(run, measured, metric="function_interference")
    return number(item, "function_interference")[:, 0]


def test_units_are_the_jackknifes_pseudo_values():
    """Slowly: n times the mean over pairs, minus n - 1 times that without one state."""
    gradients = np.random.default_rng(0).normal(size=(6, 3))
    mean = means_of_states(gradients).mean()
    slow = [
        6 * mean - 5 * means_of_states(np.delete(gradients, state, axis=0)).mean()
        for state in range(6)
    ]
    np.testing.assert_allclose(units_of(gradients), slow)
    assert units_of(gradients).mean() == pytest.approx(mean)


@pytest.mark.parametrize("n", [5, 16])
def test_bars_over_states_cover_93_to_98_percent(n):
    """Of a run's states the gradients are independent, of mean 1 in each of five places."""
    generator = np.random.default_rng(n)
    units = [units_of(1 + generator.normal(size=(n, 5))) for _ in range(3000)]
    found = mean_interval(np.transpose(units), confidence=0.95, resamples=499, generator=generator)
    assert 0.93 <= np.mean((found.low <= 5) & (found.high >= 5)) <= 0.98


def test_two_states_are_one_pair_and_have_no_interval():
    units = units_of(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert units.tolist() == [11.0]

"""What tables take from one run: the bars of figure 6 that are over states."""

import numpy as np
import pytest

from td_interference.planning.grid import RunSpec
from td_interference.planning.means import Means
from td_interference.statistics import mean_interval
from td_interference.tables.plain import curve, number
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


def stiffness(seed=0):
    """A run's cosines [checkpoint, segment, anchor, offset], some of them not known."""
    generator = np.random.default_rng(seed)
    cosine = generator.uniform(-1, 1, (2, 3, 4, 5))
    cosine[generator.random(cosine.shape) < 0.4] = np.nan
    cosine[:, 1, :, 3] = np.nan  # a unit that knows nothing there
    arrays = {"update_step": np.array([10, 20]), "offset": np.arange(-2, 3), "cosine": cosine}
    run: RunSpec = None  # type: ignore[assignment]  # not asked
    return Measured(run, arrays, metric="stiffness"), cosine


def known_mean(values):
    known = [value for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else np.nan


@pytest.mark.parametrize("step", [10, 20])
def test_a_unit_is_the_mean_of_what_is_known_of_its_segment(step):
    """Written out: of each segment, at each offset, over the anchors whose cosine is known."""
    item, cosine = stiffness()
    means = Means(metric="stiffness", field="cosine", experiments=("td_lambda",))
    found = curve(means, item, step)
    assert found.positions == [{"offset": offset} for offset in range(-2, 3)]
    at = cosine[[10, 20].index(step)]
    expected = [[known_mean(at[s, :, o]) for o in range(5)] for s in range(3)]
    np.testing.assert_allclose(found.units, expected)
    assert np.isnan(found.units[1, 3])


def test_one_number_of_a_segment_is_over_what_is_known_of_some_offsets():
    item, cosine = stiffness()
    over = ((-2, -1), (2, 2))
    found = number(item, "cosine", over)
    expected = [known_mean(cosine[-1, s][:, [0, 1, 4]].ravel()) for s in range(3)]
    np.testing.assert_allclose(found[:, 0], expected)


def test_all_checkpoints_are_an_axis():
    item, cosine = stiffness()
    means = Means(metric="stiffness", field="cosine", experiments=("td_lambda",), checkpoints="all")
    found = curve(means, item)
    assert found.positions[5] == {"update_step": 20, "offset": -2}
    expected = [known_mean(cosine[1, s, :, 0]) for s in range(3)]
    np.testing.assert_allclose(found.units[:, 5], expected)

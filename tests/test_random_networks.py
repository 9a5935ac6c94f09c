"""The study of ρ' at initialisation: its draws, its statistics, and eq. 36 by real steps."""

import numpy as np
import pytest
import torch
from scipy import stats

from td_interference.errors import UserError
from td_interference.gradients.second_order import pair_products, regression_terms
from td_interference.random_networks import (
    NETWORKS,
    Study,
    by_gradient_of_interference,
    check_step_sizes,
    draw,
    interference_changes,
    summarise,
)

SMALL = Study(hidden=5, networks=3, samples=4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("normal", ["delta", "target"])
def test_changes_are_eq_36(name, normal):
    hidden = 1 if name in ("value", "q") else 5
    study = Study(network=name, hidden=hidden, normal=normal, networks=1, samples=3)
    expected = by_gradient_of_interference(draw(study, 0)).numpy()
    apart = ~np.eye(3, dtype=bool)
    found = interference_changes(study)
    assert found.shape == (1, 6)
    np.testing.assert_allclose(found[0], expected[apart], rtol=1e-7, atol=1e-9 * abs(found).max())


def test_a_network_does_not_depend_on_how_many_are_drawn():
    changes = interference_changes(SMALL)
    assert (interference_changes(SMALL) == changes).all()
    assert (interference_changes(SMALL._replace(networks=2)) == changes[:2]).all()
    assert not np.isclose(interference_changes(SMALL._replace(seed=1)), changes).any()
    assert len(np.unique(changes)) == changes.size


def test_what_is_normal():
    study = SMALL._replace(samples=2000)
    delta = draw(study, 0).delta
    assert stats.kstest(delta.numpy(), "norm").pvalue > 1e-3
    problem = draw(study._replace(normal="target"), 0)
    with torch.no_grad():
        target = problem.value(problem.network(problem.inputs)) - problem.delta
    torch.testing.assert_close(target, delta)
    assert stats.kstest(problem.inputs.flatten().numpy(), "norm").pvalue > 1e-3
    images = draw(Study(network="value", hidden=1, samples=2), 0)
    scaled = images.network[0](images.inputs)
    assert scaled.std().item() == pytest.approx(1, abs=0.01)


def test_real_steps_approach_eq_36():
    """With a smooth network the error of a finite step is of the step's order."""
    problem = draw(Study(network="smooth_mlp", hidden=6, samples=4), 0)
    check = check_step_sizes(problem, [1e-3, 1e-4, 1e-5])
    assert check.measured.shape == (3, 4, 4)
    assert check.relative_error[1] < 0.01
    np.testing.assert_allclose(check.relative_error[:-1] / check.relative_error[1:], 10, rtol=0.1)
    pairs = pair_products(problem.network, problem.inputs, problem.value)
    change = regression_terms(pairs, problem.delta).change.numpy()
    np.testing.assert_allclose(check.expected, change, rtol=1e-7, atol=1e-9)


def test_the_summary_of_a_known_distribution():
    generator = np.random.default_rng(0)
    changes = -generator.exponential(size=(400, 25))
    summary = summarise(changes, resamples=300, generator=np.random.default_rng(1))
    assert summary.mean.value == changes.mean()
    assert summary.median.value == np.median(changes)
    assert summary.mean.low < -1 < summary.mean.high
    assert summary.median.low < -np.log(2) < summary.median.high
    assert summary.mean.high - summary.mean.low == pytest.approx(2 * 1.96 / 100, rel=0.2)
    assert (summary.quantile_05, summary.quantile_95) == pytest.approx(
        (np.log(0.05), np.log(0.95)), rel=0.1
    )
    assert summary.skewness == pytest.approx(-2, rel=0.2)
    assert summary.share_negative == 1


def test_networks_are_resampled_whole():
    """Pairs that all agree within a network add nothing to what is known."""
    one_per_network = np.random.default_rng(0).normal(size=(50, 1))
    repeated = np.repeat(one_per_network, 100, axis=1)
    few, many = (
        summarise(changes, resamples=300, generator=np.random.default_rng(1))
        for changes in (one_per_network, repeated)
    )
    assert many.mean.low == pytest.approx(few.mean.low)
    assert many.mean.high == pytest.approx(few.mean.high)


def test_the_papers_finding_at_small_scale():
    """Section 6: median below 0 but close to it, mean further below, heavier lower tail."""
    study = Study(network="mlp", hidden=16, networks=100, samples=8)
    changes = interference_changes(study)
    summary = summarise(changes, resamples=300, generator=np.random.default_rng(0))
    assert summary.mean.high < summary.median.value < 0
    assert summary.median.high < 0
    assert summary.skewness < 0
    assert -summary.quantile_05 > summary.quantile_95


def test_unknown_choices_are_refused():
    with pytest.raises(UserError, match="network: 'rnn' is not one of mlp"):
        draw(SMALL._replace(network="rnn"), 0)
    with pytest.raises(UserError, match="normal: 'loss' is neither"):
        draw(SMALL._replace(normal="loss"), 0)
    with pytest.raises(UserError, match="a pair takes two"):
        interference_changes(SMALL._replace(samples=1))

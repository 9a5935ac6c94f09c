"""ρ' at initialisation: what is drawn, what is measured, and eq. 36 by real steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from stages import left_behind
from torch import nn

from td_interference.gradients.second_order import pair_products, regression_terms
from td_interference.planning.settings import properties
from td_interference.planning.studies import Study
from td_interference.random_networks import (
    BUILDERS,
    N_ACTIONS,
    Problem,
    by_gradient_of_interference,
    draw,
    errors_of_steps,
    interference_changes,
    measure_study,
)
from td_interference.storage import hdf5, kinds

SMALL = Study(hidden=5, networks=3, samples=4, checked_networks=2)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("normal", ["delta", "target"])
def test_changes_are_eq_36(name, normal):
    hidden = 1 if name in ("value", "q") else 5
    study = Study(network=name, hidden=hidden, normal=normal, samples=3)
    expected = by_gradient_of_interference(draw(study, 0)).numpy()
    apart = ~np.eye(3, dtype=bool)
    found = interference_changes(draw(study, 0))
    assert found.shape == (6,)
    np.testing.assert_allclose(found, expected[apart], rtol=1e-7, atol=1e-9 * abs(found).max())


def test_each_network_has_streams_of_its_own():
    changes = np.stack([interference_changes(draw(SMALL, number)) for number in range(3)])
    assert len(np.unique(changes)) == changes.size
    assert (interference_changes(draw(replace(SMALL, networks=2), 1)) == changes[1]).all()
    other_seed = interference_changes(draw(replace(SMALL, seed=1), 1))
    assert not np.isclose(other_seed, changes[1]).any()


def test_what_is_normal():
    study = replace(SMALL, samples=2000)
    delta = draw(study, 0).delta
    assert stats.kstest(delta.numpy(), "norm").pvalue > 1e-3
    problem = draw(replace(study, normal="target"), 0)
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
    error = errors_of_steps(problem, [1e-3, 1e-4, 1e-5])
    assert error[1] < 0.01
    np.testing.assert_allclose(error[:-1] / error[1:], 10, rtol=0.1)
    pairs = pair_products(problem.network, problem.inputs, problem.value)
    change = regression_terms(pairs, problem.delta).change.numpy()
    expected = by_gradient_of_interference(problem).numpy()
    np.testing.assert_allclose(expected, change, rtol=1e-7, atol=1e-9)


def test_a_step_over_a_kink_breaks_eq_36():
    """One leaky unit, 0.001 above its kink: steps above 0.001 cross it, and ρ jumps to near 0."""
    unit = nn.Sequential(
        nn.Linear(1, 1, bias=False), nn.LeakyReLU(0.01), nn.Linear(1, 1, bias=False)
    ).double()
    with torch.no_grad():
        unit[0].weight.fill_(1e-3)
        unit[2].weight.fill_(1)
    one = torch.ones(1, dtype=torch.float64)
    problem = Problem(unit, one[:, None], lambda outputs: outputs[:, 0], one)
    steps = np.array([1e-5, 1e-4, 9e-4, 1.1e-3, 2e-3])
    error = errors_of_steps(problem, steps)
    # ρ = δ² (w² + v²) with w the first weight, v the last: ρ' = -2 (w² + v²)² - 4 w v.
    expected = -2 * (1 + 1e-6) ** 2 - 4e-3
    np.testing.assert_allclose(by_gradient_of_interference(problem).item(), expected, rtol=1e-9)
    assert (error[:3] < 2 * steps[:3]).all()
    # ρ falls from 1 to 0.0001, whatever the step.
    np.testing.assert_allclose(error[3:], 0.5 / steps[3:], rtol=0.02)


def test_fewer_samples_are_the_first_of_more():
    """The check of eq. 36 is done on a part of what the distribution is made of."""
    study = Study(network="q", hidden=1, samples=3)
    more, fewer = draw(study, 1), draw(replace(study, samples=2), 1)
    assert torch.equal(more.inputs[:2], fewer.inputs)
    assert torch.equal(more.delta[:2], fewer.delta)
    outputs = torch.rand(3, N_ACTIONS)
    assert torch.equal(more.value(outputs)[:2], fewer.value(outputs[:2]))


def test_the_file_of_a_study(tmp_path):
    study = replace(SMALL, step_sizes=(1e-6, 1e-4), checked_networks=2, checked_samples=3)
    measure_study(study, tmp_path / "study.h5", progress_directory=tmp_path / "state")
    arrays = hdf5.read(tmp_path / "study.h5", kinds.RANDOM_NETWORKS)
    assert arrays["change"].shape == (3, 12)
    for number, changes in enumerate(arrays["change"]):
        np.testing.assert_array_equal(changes, interference_changes(draw(study, number)))
    assert arrays["step_size"].tolist() == [1e-6, 1e-4]
    assert arrays["relative_error"].shape == (2, 2)
    for number, errors in enumerate(arrays["relative_error"]):
        problem = draw(replace(study, samples=3), number)
        np.testing.assert_array_equal(errors, errors_of_steps(problem, study.step_sizes))
    identity = hdf5.read_attributes(tmp_path / "study.h5")["identity"]
    assert Study.from_dict(identity["study"]) == study and study.run_id in identity["name"]
    assert not left_behind(tmp_path / "state")


def test_every_network_that_a_study_may_name_can_be_built():
    assert list(BUILDERS) == properties(Study)["network"]["enum"]

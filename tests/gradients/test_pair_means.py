"""Means over pairs from sums of gradients against the gram matrix and explicit gradients."""

import math

import pytest
import torch
from reference_gradients import autograd_gradients
from torch import nn

from td_interference.errors import UserError
from td_interference.gradients import (
    PerSampleGradients,
    cosines,
    gradient_sums,
    gram,
    means_between,
    means_within,
    per_sample_gradients,
)
from td_interference.gradients.records import FactoredGradient

NETWORKS = {
    "linear, with bias and without": lambda: nn.Sequential(
        nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3, bias=False), nn.Tanh(), nn.Linear(3, 2)
    ),
    "convolution and a layer of another kind": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)),
        nn.Conv1d(1, 3, 3),
        nn.Flatten(),
        nn.LayerNorm(12),
        nn.Linear(12, 2),
    ),
    "a frozen weight": lambda: frozen(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))),
}


def frozen(network):
    network[0].weight.requires_grad_(False)
    return network


def value(outputs):
    return outputs.square().sum(1)


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]().double()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(9, 6, generator=generator, dtype=torch.float64)


def test_sums_are_those_of_single_gradients(network, inputs):
    sums = gradient_sums(per_sample_gradients(network, inputs, value), slice(2, 7))
    written_out = autograd_gradients(network, inputs, value)[2:7]
    lengths = written_out.norm(dim=1)
    # The order of the parameters is the network's own.
    torch.testing.assert_close(sums.total, written_out.sum(0))
    torch.testing.assert_close(sums.units, (written_out / lengths[:, None]).sum(0))
    assert sums.squared_norms == pytest.approx(lengths.square().sum().item())
    assert (sums.n_samples, sums.n_units) == (5, 5)


def test_means_are_those_of_the_gram_matrix(network, inputs):
    gradients = per_sample_gradients(network, inputs, value)
    a, b = slice(0, 4), slice(4, 9)
    sums = [gradient_sums(gradients, rows) for rows in (a, b)]
    for index, matrix in enumerate((gram(gradients), cosines(gradients))):
        off_diagonal = matrix[a, a][~torch.eye(4, dtype=torch.bool)]
        assert means_within(sums[0])[index] == pytest.approx(off_diagonal.mean().item())
        assert means_between(*sums)[index] == pytest.approx(matrix[a, b].mean().item())


def test_networks_of_one_shape_are_summed_at_once(inputs):
    """Factors with a dimension for the networks in front, and samples chosen for each of them."""
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)).double() for _ in "ab"]
    single = [per_sample_gradients(network, inputs, value) for network in networks]
    layers = {
        name: FactoredGradient(
            torch.stack([one.layers[name].activation for one in single]),
            torch.stack([one.layers[name].output_gradient for one in single]),
            bias=True,
        )
        for name in single[0].layers
    }
    batch = PerSampleGradients(torch.stack([one.scale for one in single]), layers)
    rows, counts = slice(2, 8), torch.tensor([6, 3])
    together = gradient_sums(batch, rows, torch.arange(6) < counts[:, None])
    for number, (one, count) in enumerate(zip(single, counts.tolist(), strict=True)):
        alone = gradient_sums(one, slice(2, 2 + count))
        for ours, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[number], expected)
    for number, one in enumerate(single):
        alone = means_within(gradient_sums(one))
        for ours, expected in zip(means_within(gradient_sums(batch)), alone, strict=True):
            torch.testing.assert_close(ours[number], expected)


def test_gradients_too_small_to_square_keep_their_angles():
    network = nn.Linear(2, 1, bias=False)
    inputs = torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    sums = gradient_sums(per_sample_gradients(network, inputs, lambda y: 1e-30 * y[:, 0]))
    assert means_within(sums).cosine == pytest.approx(0.5**0.5)


def test_without_pairs_there_is_no_mean():
    network = nn.Linear(2, 1, bias=False)
    inputs = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    gradients = per_sample_gradients(network, inputs, lambda y: y[:, 0])
    assert math.isnan(means_within(gradient_sums(gradients, slice(0, 1))).inner_product)
    both = means_within(gradient_sums(gradients))
    assert both.inner_product == 0 and math.isnan(both.cosine)  # one gradient is zero


def test_different_networks_are_refused():
    sums = [
        gradient_sums(
            per_sample_gradients(nn.Linear(2, 1, bias=bias), torch.ones(3, 2), lambda y: y[:, 0])
        )
        for bias in (True, False)
    ]
    with pytest.raises(UserError, match=r"\[3\] and \[2\] parameters"):
        means_between(*sums)

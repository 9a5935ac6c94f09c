"""Means over pairs against loops over explicit gradients in float64."""

import itertools
import math

import pytest
import torch
from cells import N_FEATURES, mlp_factory
from reference_gradients import autograd_gradients
from torch import nn

from td_interference.generalization.interference import Interference, interference
from td_interference.generalization.side_by_side import batch_of_one
from td_interference.gradients import PairMeans, per_sample_gradients


def by_loops(gradients, first, second):
    """Mean inner product and cosine over pairs of different samples, by two loops."""
    pairs = [(gradients[u], gradients[v]) for u, v in itertools.product(first, second) if u != v]
    products = [(a @ b).item() for a, b in pairs]
    cosines = [(a @ b / (a.norm() * b.norm())).item() for a, b in pairs]
    return sum(products) / len(products), sum(cosines) / len(cosines)


def of_one(gradients, n_train, n_test):
    """The interference of one network, in plain numbers."""
    measured = interference(batch_of_one(gradients), torch.tensor([n_train]), n_test)
    return Interference(*(PairMeans(*(m.item() for m in means)) for means in measured))


def largest(outputs):
    return outputs.amax(1)


def test_means_over_pairs_are_those_of_single_gradients():
    network = mlp_factory("classification", torch.float64)(torch.Generator().manual_seed(3))
    inputs = torch.randn(11, N_FEATURES, dtype=torch.float64)
    measured = of_one(per_sample_gradients(network, inputs, largest), n_train=4, n_test=5)
    gradients = autograd_gradients(network, inputs, largest)
    train, test = range(4), range(6, 11)  # samples 4 and 5 belong to neither
    for name, first, second in (
        ("train_train", train, train),
        ("train_test", train, test),
        ("test_test", test, test),
    ):
        product, cosine = by_loops(gradients, first, second)
        assert getattr(measured, name) == pytest.approx((product, cosine), rel=1e-10)


def linear_gradients(inputs):
    """Gradients of a linear function without bias: the inputs themselves."""
    network = nn.Linear(2, 1, bias=False).double()
    return per_sample_gradients(network, torch.tensor(inputs).double(), lambda y: y[:, 0])


def test_zero_gradients_count_as_products_and_not_as_angles():
    measured = of_one(
        linear_gradients([[2.0, 0.0], [0.0, 0.0], [3.0, 3.0], [3.0, 3.0], [0.0, 1.0]]),
        n_train=3,
        n_test=2,
    )
    # 2·3 and twice a zero, each pair once in either order.
    assert measured.train_train == pytest.approx((6 / 3, 0.5**0.5))
    assert measured.train_test == pytest.approx(((6 + 18 + 3) / 6, (1 + 2 * 0.5**0.5) / 4))
    assert measured.test_test.inner_product == pytest.approx(3)


def test_gradients_that_overflow_have_no_mean():
    measured = of_one(
        linear_gradients([[1.0, 0.0], [float("inf"), 0.0], [1.0, 1.0], [0.0, 1.0]]),
        n_train=2,
        n_test=2,
    )
    assert math.isnan(measured.train_train.inner_product)
    assert math.isnan(measured.train_train.cosine)
    assert measured.test_test.inner_product == pytest.approx(1)

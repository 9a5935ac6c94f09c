"""The engine against its slow twins, on networks it has rules for and on ones it must not trust."""

import copy
import math
import runpy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_gradients import autograd_gradients
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from tree import ROOT

from td_interference.errors import UserError
from td_interference.gradients import (
    PerSampleGradients,
    cosines,
    gram,
    per_sample,
    per_sample_gradients,
    squared_norms,
)
from td_interference.gradients.records import DenseGradient, FactoredGradient
from td_interference.networks.atari import q_network

N = 5


def largest(outputs: Tensor) -> Tensor:
    return outputs.flatten(1).max(1).values


def mean(outputs: Tensor) -> Tensor:
    return outputs.flatten(1).mean(1)


def first(outputs: Tensor) -> Tensor:
    return outputs.flatten(1)[:, 0]


def smooth(outputs: Tensor) -> Tensor:
    """A nonlinear value of all outputs: its gradient differs in size from sample to sample."""
    return outputs.flatten(1).square().sum(1)


def written_out(gradients: PerSampleGradients) -> Tensor:
    dense = torch.cat([layer.dense() for layer in gradients.layers.values()], 1)
    return dense * gradients.scale[:, None]


def deviation(found: Tensor, expected: Tensor) -> float:
    """Largest error relative to the largest entry."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


def randomised(network: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Give all parameters, also those that start at 0 or 1, values of their own."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return network.to(dtype)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def no_fallback(monkeypatch):
    """Fail if the whole network is run sample by sample: the layer rules must be right alone."""

    def fail(*_):
        raise AssertionError("fell back to one sample at a time")

    monkeypatch.setattr(per_sample, "one_by_one", fail)


def conv_net(*layers: nn.Module, n_flat: int) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_flat, 3))


# Networks of layers with a rule of their own, and the shape of one input.
COVERED = {
    "linear": lambda: (nn.Linear(4, 3), (4,)),
    "linear without bias": lambda: (nn.Linear(4, 3, bias=False), (4,)),
    "perceptron": lambda: (
        nn.Sequential(
            nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 6, bias=False), nn.ReLU(), nn.Linear(6, 3)
        ),
        (4,),
    ),
    "convolution": lambda: (conv_net(nn.Conv2d(2, 4, 3), nn.ReLU(), n_flat=4 * 4 * 5), (2, 6, 7)),
    "convolution without bias": lambda: (
        conv_net(nn.Conv2d(2, 4, 3, bias=False), nn.Tanh(), n_flat=4 * 4 * 5),
        (2, 6, 7),
    ),
    "stride and padding": lambda: (
        conv_net(nn.Conv2d(2, 4, (3, 2), (2, 3), (1, 2)), nn.LeakyReLU(), n_flat=4 * 3 * 4),
        (2, 6, 7),
    ),
    "dilation": lambda: (
        conv_net(nn.Conv2d(2, 4, 2, dilation=(2, 3)), nn.LeakyReLU(), n_flat=4 * 4 * 4),
        (2, 6, 7),
    ),
    "groups": lambda: (
        conv_net(nn.Conv2d(6, 4, 3, groups=2), nn.LeakyReLU(), n_flat=4 * 4 * 5),
        (6, 6, 7),
    ),
    "depthwise": lambda: (
        conv_net(nn.Conv2d(3, 6, 3, 2, 1, groups=3), nn.Tanh(), n_flat=6 * 3 * 4),
        (3, 6, 7),
    ),
    "signal": lambda: (
        conv_net(
            nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv1d(4, 6, 2), n_flat=6 * 4
        ),
        (2, 10),
    ),
    "grouped dilated signal": lambda: (
        conv_net(nn.Conv1d(4, 6, 3, 1, 2, 2, 2, bias=False), nn.Tanh(), n_flat=6 * 10),
        (4, 10),
    ),
    "paper's": lambda: (q_network(3, hidden=2), (4, 84, 84)),
}

VALUES = (largest, mean, first, smooth)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("case", COVERED)
def test_covered_layers_equal_autograd(case, value, no_fallback):
    network, shape = COVERED[case]()
    randomised(network)
    inputs = normal(N, *shape)
    gradients = per_sample_gradients(network, inputs, value)
    reference = autograd_gradients(network, inputs, value)
    assert deviation(written_out(gradients), reference) <= 1e-10
    assert deviation(gram(gradients), reference @ reference.T) <= 1e-10


@pytest.mark.parametrize("value", (largest, smooth))
@pytest.mark.parametrize("case", COVERED)
def test_covered_layers_equal_backpack(case, value, no_fallback):
    network, shape = COVERED[case]()
    randomised(network, torch.float32)
    inputs = normal(N, *shape, dtype=torch.float32)
    found = gram(per_sample_gradients(network, inputs, value))
    backpack_gradients = runpy.run_path(str(ROOT / "benchmarks" / "gram_engine.py"))[
        "backpack_gradients"
    ]
    by_parameter = backpack_gradients(network, inputs, value)
    assert deviation(found, sum(g @ g.T for g in by_parameter)) <= 1e-4


@st.composite
def convolutions(draw):
    """A random convolution of 1 or 2 dimensions, and the shape of an input that it takes."""
    n_dimensions = draw(st.sampled_from((1, 2)))

    def per_dimension(smallest, highest):
        return tuple(draw(st.integers(smallest, highest)) for _ in range(n_dimensions))

    groups = draw(st.integers(1, 3))
    kernel, dilation, padding = per_dimension(1, 3), per_dimension(1, 3), per_dimension(0, 2)
    layer = (nn.Conv1d, nn.Conv2d)[n_dimensions - 1](
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        kernel,
        per_dimension(1, 3),
        padding,
        dilation,
        groups,
        bias=draw(st.booleans()),
    )
    extra = per_dimension(0, 3)
    sizes = [d * (k - 1) + 1 + e for d, k, e in zip(dilation, kernel, extra, strict=True)]
    return layer, (layer.in_channels, *sizes)


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.sampled_from((nn.ReLU, nn.LeakyReLU, nn.Tanh)))
def test_random_convolutions_equal_autograd(convolution, activation):
    layer, shape = convolution
    n_flat = layer(torch.zeros(1, *shape)).numel()
    network = randomised(
        nn.Sequential(layer, activation(), nn.Flatten(), nn.Linear(n_flat, 4), nn.Linear(4, 2))
    )
    inputs = normal(N, *shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(per_sample, "one_by_one", None)
        gradients = per_sample_gradients(network, inputs, smooth)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(gradients), reference) <= 1e-10


def test_blocks_of_patches_equal_one_block(monkeypatch, no_fallback):
    network, shape = COVERED["stride and padding"]()
    randomised(network)
    inputs = normal(N, *shape)
    expected = written_out(per_sample_gradients(network, inputs, smooth))
    patches = 2 * 3 * 2 * 3 * 4 * 8  # bytes of one sample's patches
    monkeypatch.setattr("td_interference.gradients.layers.PATCH_BYTES", 2 * patches)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), expected) <= 1e-12


def test_linear_gradients_are_never_written_out(no_fallback):
    network = randomised(nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 3)))
    layers = per_sample_gradients(network, normal(N, 4), mean).layers
    assert all(isinstance(layer, FactoredGradient) for layer in layers.values())


class Twice(nn.Module):
    """One layer, called twice."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(self.fc(x).tanh())


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(self.encoder(x).tanh())


class FunctionalUse(nn.Module):
    """A weight used once by its module and once behind its back, so weakly that it hardly shows."""

    def __init__(self, factor=1e-9):
        super().__init__()
        self.fc, self.factor = nn.Linear(4, 4), factor

    def forward(self, x):
        hidden = self.fc(x).tanh()
        return hidden + self.factor * functional.linear(hidden, self.fc.weight)


class OnlyFunctionalUse(nn.Module):
    """A module whose call leads nowhere, and whose weight is used all the same."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        self.fc(x)
        return functional.linear(x, self.fc.weight).tanh() + self.fc.bias


class Uncalled(nn.Module):
    """A module of which only the parameters are used."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return functional.linear(x, self.fc.weight, self.fc.bias).tanh()


class NamedArgument(nn.Module):
    """A layer called by keyword."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(input=x)


class Permuted(nn.Module):
    """A layer that sees all samples from `start` on in another order than the network does."""

    def __init__(self, start):
        super().__init__()
        self.fc, self.start = nn.Linear(4, 3), start

    def forward(self, x):
        order = torch.arange(len(x))
        order[self.start :] = order[self.start :].flip(0)
        return self.fc(x[order])[order]


class TimeFirst(nn.Module):
    """A layer that sees [T, N, ...] with T equal to N."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x.transpose(0, 1)).transpose(0, 1)


class Attention(nn.Module):
    """A module that uses a child's weight without calling the child."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class ScaledInPlace(nn.Module):
    """A module that overwrites the very input its gradient needs."""

    def __init__(self):
        super().__init__()
        self.fc, self.scale = nn.Linear(4, 3), Scale()

    def forward(self, x):
        return self.fc(self.scale(x.clone()))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        before = x.clone()
        x.mul_(2)
        return before * self.weight


class PatchedForward(nn.Module):
    """A layer that is a Linear by name and computes something else."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.fc.forward = lambda x: functional.linear(x * x, self.fc.weight, self.fc.bias)

    def forward(self, x):
        return self.fc(x)


class Gated(nn.Module):
    """Rows routed between two layers, as many as there are samples, but not in their order."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        left = x[:, 0] > 0
        result = x.new_zeros(len(x), 3)
        result = result.index_add(0, left.nonzero()[:, 0], self.left(x[left]))
        return result.index_add(0, (~left).nonzero()[:, 0], self.right(x[~left]))


FALLBACK = {
    "called twice": lambda: (Twice(), (4,)),
    "tied weights": lambda: (Tied(), (4,)),
    "functional use": lambda: (FunctionalUse(), (4,)),
    "only functional use": lambda: (OnlyFunctionalUse(), (4,)),
    "uncalled": lambda: (Uncalled(), (4,)),
    "by keyword": lambda: (NamedArgument(), (4,)),
    "permuted samples": lambda: (Permuted(0), (4,)),
    "last samples permuted": lambda: (Permuted(N - 2), (4,)),
    "time first": lambda: (TimeFirst(), (N, 4)),
    "attention": lambda: (Attention(), (6, 4)),
    "input overwritten by its module": lambda: (ScaledInPlace(), (4,)),
    "patched forward": lambda: (PatchedForward(), (4,)),
    "gated": lambda: (Gated(), (4,)),
    "weight norm": lambda: (nn.Sequential(weight_norm(nn.Linear(4, 3)), nn.Tanh()), (4,)),
}


@pytest.mark.parametrize("value", (largest, smooth))
@pytest.mark.parametrize("case", FALLBACK)
def test_other_structures_fall_back_to_exact_gradients(case, value):
    network, shape = FALLBACK[case]()
    randomised(network)
    inputs = normal(N, *shape)
    gradients = per_sample_gradients(network, inputs, value)
    reference = autograd_gradients(network, inputs, value)
    assert all(isinstance(layer, DenseGradient) for layer in gradients.layers.values())
    assert deviation(gram(gradients), reference @ reference.T) <= 1e-10
    assert deviation(written_out(gradients), reference) <= 1e-10


class RootParameters(nn.Module):
    """Parameters of the network itself, beside layers."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return (self.fc(x) * self.scale).tanh() + self.shift


class Squared(nn.Linear):
    """A subclass of Linear that computes something else."""

    def forward(self, x):
        return super().forward(x).square()


class Noisy(nn.Linear):
    """A subclass of Linear with parameters and noise of its own, as in Rainbow."""

    def __init__(self):
        super().__init__(4, 3)
        self.sigma = nn.Parameter(torch.ones(3, 4))
        self.register_buffer("noise", normal(3, 4, seed=5))

    def forward(self, x):
        return functional.linear(x, self.weight + self.sigma * self.noise, self.bias)


def legacy_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(4, 3))


# Layers without a rule: run again sample by sample, the Linear layers beside them stay factored.
SINGLE_LAYERS = {
    "root parameters": lambda: (RootParameters(), (4,)),
    "noisy layer": lambda: (nn.Sequential(Noisy(), nn.ReLU(), nn.Linear(3, 3)), (4,)),
    "subclass": lambda: (nn.Sequential(Squared(4, 3), nn.Linear(3, 3)), (4,)),
    "layer norm": lambda: (nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)), (4,)),
    "sequence": lambda: (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), (7, 4)),
    "batch norm in evaluation": lambda: (
        nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).eval(),
        (4,),
    ),
    "group norm": lambda: (
        conv_net(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), n_flat=4 * 4 * 5),
        (2, 6, 7),
    ),
    "transposed": lambda: (conv_net(nn.ConvTranspose2d(2, 3, 2), n_flat=3 * 5 * 4), (2, 4, 3)),
    "volume": lambda: (conv_net(nn.Conv3d(2, 3, 2), n_flat=3 * 2 * 3 * 2), (2, 3, 4, 3)),
    "padding by name": lambda: (conv_net(nn.Conv2d(2, 3, 3, padding="same"), n_flat=36), (2, 4, 3)),
    "circular padding": lambda: (
        conv_net(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), n_flat=36),
        (2, 4, 3),
    ),
    "learned slope": lambda: (nn.Sequential(nn.Linear(4, 6), nn.PReLU(), nn.Linear(6, 3)), (4,)),
    "legacy weight norm": lambda: (nn.Sequential(legacy_weight_norm(), nn.Linear(3, 3)), (4,)),
}


@pytest.mark.parametrize("case", SINGLE_LAYERS)
def test_layers_without_a_rule_are_exact(case, no_fallback):
    network, shape = SINGLE_LAYERS[case]()
    randomised(network)
    inputs = normal(N, *shape)
    gradients = per_sample_gradients(network, inputs, smooth)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(gram(gradients), reference @ reference.T) <= 1e-10


def test_embedding_of_integer_inputs(no_fallback):
    network = randomised(nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3)))
    tokens = torch.tensor([0, 3, 3, 6, 1])
    reference = autograd_gradients(network, tokens, smooth)
    found = gram(per_sample_gradients(network, tokens, smooth))
    assert deviation(found, reference @ reference.T) <= 1e-10


@pytest.mark.parametrize("activation", (nn.ReLU, nn.LeakyReLU, nn.ELU))
def test_in_place_activations(activation, no_fallback):
    network = randomised(
        nn.Sequential(
            nn.Conv2d(2, 3, 2),
            activation(inplace=True),
            nn.Flatten(),
            nn.Linear(18, 6),
            activation(inplace=True),
            nn.Linear(6, 3),
        )
    )
    inputs = normal(N, 2, 4, 3)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), reference) <= 1e-10


@pytest.mark.parametrize("shape", ((2, 8), (7, 2)))
def test_in_place_activations_on_views(shape):
    layer = nn.Conv1d(2, 3, 2) if shape == (2, 8) else nn.Linear(2, 3)
    network = randomised(
        nn.Sequential(layer, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(21, 2))
    )
    inputs = normal(N, *shape)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), reference) <= 1e-10


def test_residual_connections(no_fallback):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            hidden = self.a(x)
            return hidden.tanh() + self.b(hidden) + x

    network, inputs = randomised(Residual()), normal(N, 4)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), reference) <= 1e-10


@pytest.mark.parametrize(
    "frozen", ("0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias")
)
def test_frozen_parameters_are_left_out(frozen, no_fallback):
    network = randomised(
        nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(18, 6), nn.LayerNorm(6))
    )
    network.get_parameter(frozen).requires_grad_(False)
    inputs = normal(N, 2, 4, 3)
    reference = autograd_gradients(network, inputs, smooth)
    gradients = per_sample_gradients(network, inputs, smooth)
    assert written_out(gradients).shape == reference.shape
    assert deviation(gram(gradients), reference @ reference.T) <= 1e-10


def test_wholly_frozen_layer_is_left_out(no_fallback):
    network = randomised(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    network[0].requires_grad_(False)
    inputs = normal(N, 4)
    gradients = per_sample_gradients(network, inputs, smooth)
    assert gradients.layers.keys() == {"2"}
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(gradients), reference) <= 1e-10


def test_channels_last(no_fallback):
    network, shape = COVERED["groups"]()
    randomised(network).to(memory_format=torch.channels_last)
    inputs = normal(N, *shape).contiguous(memory_format=torch.channels_last)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), reference) <= 1e-10


def test_loss_of_targets(no_fallback):
    network, inputs, targets = randomised(nn.Linear(4, 3)), normal(N, 4), normal(N, seed=2)

    def loss(outputs):
        return functional.smooth_l1_loss(outputs.max(1).values, targets, reduction="none")

    reference = autograd_gradients(network, inputs, loss)
    assert (
        deviation(gram(per_sample_gradients(network, inputs, loss)), reference @ reference.T)
        <= 1e-10
    )


def test_gradients_outlive_the_memory_of_the_inputs(no_fallback):
    network, inputs = randomised(nn.Linear(4, 3)), normal(N, 4)
    gradients = per_sample_gradients(network, inputs, smooth)
    expected = gram(gradients)
    inputs.zero_()
    network.weight.data.zero_()
    assert gram(gradients).equal(expected)


def test_hand_sized_gram():
    network = nn.Linear(2, 1)
    inputs = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    # f = w x + b, so the gradient is (x, 1) whatever the weights are.
    gradients = per_sample_gradients(network, inputs, first)
    assert gram(gradients).tolist() == [[6, 2], [2, 11]]
    assert squared_norms(gradients).tolist() == [6, 11]
    assert cosines(gradients)[0, 1].item() == pytest.approx(2 / math.sqrt(66))
    # J = f², of gradient 2 f (x, 1)
    network.weight.data, network.bias.data = torch.tensor([[1.0, 1.0]]), torch.tensor([-1.0])
    loss = gram(per_sample_gradients(network, inputs, lambda f: f[:, 0].square()))
    assert loss.tolist() == [[4 * 4 * 6, 4 * 2 * 2], [4 * 2 * 2, 4 * 11]]


@pytest.fixture(scope="module")
def batch() -> PerSampleGradients:
    network, shape = COVERED["convolution"]()
    return per_sample_gradients(randomised(network), normal(9, *shape), smooth)


def test_gram_is_symmetric_with_squared_norms_on_its_diagonal(batch):
    torch.testing.assert_close(gram(batch), gram(batch).T)
    torch.testing.assert_close(gram(batch).diagonal(), squared_norms(batch))


@pytest.mark.parametrize("case", ("convolution", "linear", "called twice", "gated"))
def test_two_batches(case):
    network, shape = (COVERED | FALLBACK)[case]()
    randomised(network)
    a, b = (per_sample_gradients(network, normal(n, *shape, seed=n), smooth) for n in (4, 6))
    both = torch.cat([normal(n, *shape, seed=n) for n in (4, 6)])
    together = autograd_gradients(network, both, smooth)
    assert deviation(gram(a, b), together[:4] @ together[4:].T) <= 1e-10
    unit = together / together.norm(dim=1, keepdim=True)
    assert deviation(cosines(a, b), unit[:4] @ unit[4:].T) <= 1e-10


def test_batches_of_unlike_form():
    network = randomised(nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(18, 3)))
    inputs = normal(N, 2, 4, 3)
    a = per_sample_gradients(network, inputs, smooth)
    b = PerSampleGradients(a.scale, {k: DenseGradient(x.dense()) for k, x in a.layers.items()})
    torch.testing.assert_close(gram(a, b), gram(a))


def test_batches_of_different_networks_are_refused(batch):
    other = per_sample_gradients(nn.Linear(4, 3, dtype=torch.float64), normal(N, 4), smooth)
    with pytest.raises(UserError, match="different networks"):
        gram(batch, other)


def test_cosines_are_within_one_and_one_with_oneself(batch):
    found = cosines(batch)
    assert found.abs().max() <= 1
    torch.testing.assert_close(found.diagonal(), torch.ones(9, dtype=torch.float64))


def test_cosines_of_opposite_gradients_are_minus_one():
    inputs = normal(1, 4, dtype=torch.float32).expand(200, 4)
    signs = torch.tensor([1.0, -1.0]).repeat(100)
    gradients = per_sample_gradients(nn.Linear(4, 1), inputs, lambda f: f[:, 0] * signs)
    found = cosines(gradients)
    assert found.abs().max() <= 1
    torch.testing.assert_close(found, signs[:, None] * signs)


def test_cosine_with_a_zero_gradient_is_nan():
    network = randomised(nn.Linear(4, 3))
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0])
    gradients = per_sample_gradients(network, normal(N, 4), lambda f: f[:, 0] * weights)
    undefined = cosines(gradients).isnan()
    assert undefined[1].all() and undefined[:, 1].all()
    assert undefined.sum() == 2 * N - 1
    assert gram(gradients)[1].tolist() == [0] * N


def test_dead_network_has_undefined_cosines():
    network = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False))
    network[0].weight.data.fill_(-1)
    gradients = per_sample_gradients(network, normal(N, 4, dtype=torch.float32).abs(), first)
    assert squared_norms(gradients).tolist() == [0] * N
    assert cosines(gradients).isnan().all()


def test_cosines_of_vanishing_gradients_are_those_of_large_ones():
    network = randomised(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), torch.float32)
    inputs = normal(N, 4, dtype=torch.float32)
    tiny = per_sample_gradients(network, inputs, lambda f: f[:, 0] * 1e-30)
    plain = per_sample_gradients(network, inputs, first)
    torch.testing.assert_close(cosines(tiny), cosines(plain))
    torch.testing.assert_close(gram(tiny, plain), gram(plain) * 1e-30, rtol=1e-5, atol=0)


def test_diverged_samples_are_nan_and_leave_others_alone(no_fallback):
    network = randomised(nn.Linear(4, 3), torch.float32)
    inputs = normal(N, 4, dtype=torch.float32)
    expected = gram(per_sample_gradients(network, inputs, first))
    inputs[2] = torch.inf
    found = gram(per_sample_gradients(network, inputs, first))
    others = [0, 1, 3, 4]
    assert not found[2].isfinite().any() and not found[:, 2].isfinite().any()
    torch.testing.assert_close(found[others][:, others], expected[others][:, others])


def test_diverged_network_gives_nan(no_fallback):
    network = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    network[0].weight.data.fill_(torch.nan)
    assert gram(per_sample_gradients(network, normal(N, 4), smooth)).isnan().all()


def batch_statistics(x: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, training=True)


class Functional(nn.Module):
    """A layer, then any function."""

    def __init__(self, function):
        super().__init__()
        self.fc, self.function = nn.Linear(4, 3), function

    def forward(self, x):
        return self.function(self.fc(x))


@pytest.mark.parametrize("n_samples", (2, 5, 20))
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), r"'1' \(BatchNorm1d\)"),
        (
            nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval(),
            r"'1' \(BatchNorm1d\)",
        ),
        (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1)), r"'1' \(Dropout\) is random"),
        (
            nn.Sequential(nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, track_running_stats=True)),
            r"'1' \(InstanceNorm1d\)",
        ),
        (Functional(batch_statistics), "mixes samples|cannot run on part"),
        (Functional(lambda x: x - x.mean(0)), "mixes samples"),
        (Functional(lambda x: x - 0.1 * x.roll(1, 0)), "mixes samples"),
        (Functional(functional.dropout), "random"),
        (Functional(lambda x: x + torch.randn_like(x)), "random"),
    ],
)
def test_networks_without_per_sample_gradients_are_refused(network, message, n_samples):
    network = randomised(copy.deepcopy(network))
    with pytest.raises(UserError, match=message) as error:
        per_sample_gradients(network, normal(n_samples, 4), mean)
    assert "\n" not in str(error.value)


def test_dropout_and_batch_norm_in_evaluation_are_no_problem():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).eval()
    randomised(network)
    inputs = normal(N, 4)
    reference = autograd_gradients(network, inputs, smooth)
    assert (
        deviation(gram(per_sample_gradients(network, inputs, smooth)), reference @ reference.T)
        < 1e-10
    )


PARAMETER = nn.Parameter(torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda f: f, "one number per sample"),
        (lambda f: f.mean(), "one number per sample"),
        (lambda f: f[:, 0].detach(), "does not depend"),
        (lambda f: torch.ones(len(f)), "does not depend"),
        (lambda f: (f * PARAMETER).sum(1), "detach the targets"),
        (lambda f: f[:, 0] - f[:, 0].mean(), "mixes samples"),
        (lambda f: f[:, 0] * f[:, 0].flip(0), "mixes samples"),
        (lambda f: f[:, 0].cumsum(0), "mixes samples"),
    ],
)
def test_values_that_are_not_per_sample_are_refused(value, message):
    with pytest.raises(UserError, match=message):
        per_sample_gradients(randomised(nn.Linear(4, 3)), normal(N, 4), value)


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (nn.Linear(4, 3, dtype=torch.bfloat16), torch.ones(N, 4, dtype=torch.bfloat16), "bfloat16"),
        (nn.Linear(4, 3).requires_grad_(False), torch.ones(N, 4), "found none"),
        (nn.LSTM(4, 3), torch.ones(N, 2, 4), "one tensor"),
        (Functional(lambda x: x.sum()), torch.ones(N, 4), "one tensor"),
        (nn.Linear(4, 3), torch.ones(0, 4), "at least 1"),
        (Functional(torch.detach), torch.ones(N, 4), "no gradient"),
    ],
)
def test_unfit_networks_are_refused(network, inputs, message):
    with pytest.raises(UserError, match=message):
        per_sample_gradients(network, inputs, mean)


@pytest.mark.parametrize("n_samples", (1, 2, 3, 8, 9, 40))
def test_numbers_of_samples(n_samples, no_fallback):
    network, shape = COVERED["convolution"]()
    randomised(network)
    inputs = normal(n_samples, *shape)
    reference = autograd_gradients(network, inputs, smooth)
    found = gram(per_sample_gradients(network, inputs, smooth))
    assert deviation(found, reference @ reference.T) <= 1e-10


def test_identity_value_of_one_output_per_sample(no_fallback):
    network = randomised(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)))
    inputs = normal(N, 4)
    reference = autograd_gradients(network, inputs, lambda f: f)
    found = gram(per_sample_gradients(network, inputs, lambda f: f))
    assert deviation(found, reference @ reference.T) <= 1e-10


def state_of(network: nn.Module) -> dict:
    return {
        name: {key: value for key, value in vars(module).items() if key != "_parameters"}
        for name, module in network.named_modules()
    }


@pytest.mark.parametrize("case", ("convolution", "called twice"))
@pytest.mark.parametrize("fails", (False, True))
def test_nothing_stays_behind(case, fails):
    network, shape = (COVERED | FALLBACK)[case]()
    randomised(network).train()
    parameters = {name: (p, p.detach().clone()) for name, p in network.named_parameters()}
    next(network.parameters()).grad = grad = torch.ones_like(next(network.parameters()))
    before = {name: dict(state) for name, state in state_of(network).items()}
    hooks = {name: len(module._forward_hooks) for name, module in network.named_modules()}

    def value(outputs):
        if fails:
            raise RuntimeError("the value fails")
        return smooth(outputs)

    if fails:
        with pytest.raises(RuntimeError, match="the value fails"):
            per_sample_gradients(network, normal(N, *shape), value)
        with pytest.raises(RuntimeError):
            per_sample_gradients(network, normal(N, *shape[:-1], shape[-1] + 1), value)
    else:
        per_sample_gradients(network, normal(N, *shape), value)

    assert state_of(network) == before
    assert {name: len(m._forward_hooks) for name, m in network.named_modules()} == hooks
    assert not any(module._forward_hooks_with_kwargs for module in network.modules())
    for name, parameter in network.named_parameters():
        same, values = parameters[name]
        assert parameter is same and parameter.equal(values)
        assert vars(parameter) == {}
    assert next(network.parameters()).grad is grad and grad.eq(1).all()
    assert all(p.grad is None for p in [*network.parameters()][1:])


@pytest.mark.parametrize("mode", (torch.no_grad, torch.enable_grad))
def test_grad_mode_does_not_matter_and_stays(mode):
    network, inputs = randomised(nn.Linear(4, 3)), normal(N, 4)
    with mode():
        enabled = torch.is_grad_enabled()
        found = per_sample_gradients(network, inputs, smooth)
        assert torch.is_grad_enabled() is enabled
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(gram(found), reference @ reference.T) <= 1e-10
    assert not gram(found).requires_grad


def test_inference_mode_is_refused():
    with torch.inference_mode(), pytest.raises(UserError, match="inference mode"):
        per_sample_gradients(randomised(nn.Linear(4, 3)), normal(N, 4), smooth)


def test_reduced_precision_is_off():
    network = randomised(nn.Linear(64, 3), torch.float32)
    inputs = normal(N, 64, dtype=torch.float32)
    expected = gram(per_sample_gradients(network, inputs, smooth))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gram(per_sample_gradients(network, inputs, smooth))
    assert found.equal(expected)


def test_users_hooks_see_the_network_as_ever(no_fallback):
    network = randomised(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)))
    seen = []
    network[0].register_forward_hook(lambda module, args, output: seen.append(output) or output * 2)
    inputs = normal(N, 4)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), reference) <= 1e-10
    assert seen


def test_rounding_at_a_kink_does_not_lead_to_the_slow_path(monkeypatch, no_fallback):
    """Samples on other sides of kinks alone than in the batch: the batch's graph decides."""
    network = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    inputs = normal(N, 4)

    def run_some_alone(whole, rows):
        return network(-inputs)[rows]

    monkeypatch.setattr(per_sample, "run_some_alone", run_some_alone)
    reference = autograd_gradients(network, inputs, smooth)
    assert deviation(written_out(per_sample_gradients(network, inputs, smooth)), reference) <= 1e-10

"""The generalization experiments' networks: sizes by hand, and per-sample gradients of them."""

import pytest
import torch
from torch import nn

from td_interference.gradients import gram, per_sample_gradients
from td_interference.networks.atari import initialise
from td_interference.networks.images import image_network, mlp
from td_interference.seeds import torch_generator


@pytest.mark.parametrize("extra_layers", [0, 1, 3])
@pytest.mark.parametrize(("n_inputs", "n_outputs", "hidden"), [(3, 10, 8), (4, 14, 3)])
def test_image_network(n_inputs, n_outputs, hidden, extra_layers):
    network = image_network(n_inputs, n_outputs, hidden, extra_layers)
    images = torch.rand(2, n_inputs, 32, 32)
    assert network(images).shape == (2, n_outputs)
    convolutions = [module for module in network if isinstance(module, nn.Conv2d)]
    linear = [module for module in network if isinstance(module, nn.Linear)]
    channels = [n_inputs, hidden, 2 * hidden, *[4 * hidden] * (1 + extra_layers)]
    assert [module.in_channels for module in convolutions] == channels[:-1]
    assert [module.out_channels for module in convolutions] == channels[1:]
    assert [module.kernel_size[0] for module in convolutions] == [5, *[3] * (2 + extra_layers)]
    assert [(module.in_features, module.out_features) for module in linear] == [
        (4 * hidden * 10 * 10, 4 * hidden),
        (4 * hidden, n_outputs),
    ]
    (flatten,) = (index for index, module in enumerate(network) if isinstance(module, nn.Flatten))
    assert network[:flatten](images).shape == (2, 4 * hidden, 10, 10)
    # A leaky ReLU after every layer but the last.
    activations = [module for module in network if isinstance(module, nn.LeakyReLU)]
    assert len(activations) == len(convolutions) + 1
    assert {module.negative_slope for module in activations} == {0.01}
    assert isinstance(network[-1], nn.Linear)


@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_mlp(hidden_layers):
    network = mlp(21, 7, 16, hidden_layers)
    assert network(torch.rand(5, 21)).shape == (5, 7)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert n_parameters == 22 * 16 + (hidden_layers - 1) * 17 * 16 + 17 * 7
    kinds = [type(module) for module in network]
    assert kinds == [nn.Linear, nn.LeakyReLU] * hidden_layers + [nn.Linear]
    with pytest.raises(ValueError, match="need at least 1"):
        mlp(21, 7, 16, 0)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(image_network(3, 10, 2, 1), (3, 32, 32)), (mlp(8, 1, 4, 3), (8,))],
    ids=["images", "table"],
)
def test_gram_matrix_is_that_of_single_gradients(network, shape):
    network = initialise(network, torch_generator("test", "initial_weights")).double()
    inputs = torch.rand(4, *shape, dtype=torch.float64)
    found = gram(per_sample_gradients(network, inputs, lambda outputs: outputs.max(1).values))
    gradients = []
    for sample in inputs:
        value = network(sample[None]).max()
        parts = torch.autograd.grad(value, list(network.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    single = torch.stack(gradients)
    torch.testing.assert_close(found, single @ single.T)

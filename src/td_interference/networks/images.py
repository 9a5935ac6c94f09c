"""The networks of the generalization experiments (paper, appendix B.1).

Their weights are drawn by `networks.initialise`, as those of the Atari networks (authors' code).
"""

import itertools

from torch import nn

from td_interference.networks.atari import NEGATIVE_SLOPE


def image_network(
    n_inputs: int, n_outputs: int, hidden: int, extra_layers: int = 0
) -> nn.Sequential:
    """Return the convolutional network of classifiers and of masked-image agents.

    Without padding, 32x32 pixels become 14x14, 12x12 and 10x10: the flat size is 4·hidden·10·10.

    Args:
        n_inputs: Planes: 3 colours for a classifier, 4 for an agent.
        n_outputs: 10 classes, or 10 classes and 4 moves for an agent.
        hidden: n_h; layers are n_h, 2 n_h, 4 n_h channels and 4 n_h units wide.
        extra_layers: n_L, convolutions that keep the size.

    Returns:
        A network from float inputs [N, n_inputs, 32, 32] in 0..1 to [N, n_outputs], its weights not
        yet initialised: see `networks.initialise`.
    """
    convolutions = [
        nn.Conv2d(n_inputs, hidden, kernel_size=5, stride=2),
        nn.Conv2d(hidden, 2 * hidden, kernel_size=3),
        nn.Conv2d(2 * hidden, 4 * hidden, kernel_size=3),
        *(nn.Conv2d(4 * hidden, 4 * hidden, kernel_size=3, padding=1) for _ in range(extra_layers)),
    ]
    return nn.Sequential(
        *_activated(convolutions),
        nn.Flatten(),
        nn.Linear(4 * hidden * 10 * 10, 4 * hidden),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.Linear(4 * hidden, n_outputs),
    )


def mlp(n_inputs: int, n_outputs: int, hidden: int, hidden_layers: int) -> nn.Sequential:
    """Return the fully connected network of the regressions.

    Args:
        n_inputs: Features: 21 for SARCOS, 8 for California Housing.
        n_outputs: Targets: 7 and 1.
        hidden: n_h, units of each hidden layer.
        hidden_layers: Hidden layers, at least 1: 1 + n_L for SARCOS, 3 for California Housing.

    Returns:
        A network [N, n_inputs] to [N, n_outputs], its weights not yet initialised: see
        `networks.initialise`.

    Raises:
        ValueError: If there is no hidden layer.
    """
    if hidden_layers < 1:
        raise ValueError(f"{hidden_layers=}: need at least 1")
    widths = [n_inputs, *[hidden] * hidden_layers]
    layers = [nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
    return nn.Sequential(*_activated(layers), nn.Linear(hidden, n_outputs))


def _activated(layers: list[nn.Conv2d] | list[nn.Linear]) -> list[nn.Module]:
    """Return the layers with a leaky ReLU after each."""
    return [module for layer in layers for module in (layer, nn.LeakyReLU(NEGATIVE_SLOPE))]

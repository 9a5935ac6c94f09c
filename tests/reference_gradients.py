"""The slow twin of the engine: the same per-sample gradients in a way that no one doubts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def autograd_gradients(
    network: nn.Module, inputs: Tensor, value: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return per-sample gradients by one `autograd.grad` call per sample through the batch's graph.

    Args:
        network: Maps [N, ...] to [N, ...].
        inputs: [N, ...].
        value: Maps the outputs to one number per sample, [N].

    Returns:
        [N, D], the trainable parameters in the network's order, each flattened; 0 for unused ones.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        values = value(network(inputs))
        gradients = [
            torch.autograd.grad(v, parameters, retain_graph=True, materialize_grads=True)
            for v in values
        ]
    return torch.stack(
        [torch.cat([g.to_dense().flatten() for g in of_sample]) for of_sample in gradients]
    )

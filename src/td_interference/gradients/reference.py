"""Slow twins of the engine: the same per-sample gradients by ways no one doubts, written out.

Both need N · D numbers and are for tests and benchmarks. Gradients are of per-sample values: the
sum over the batch is differentiated, so there is no 1/N.
"""

import copy
import warnings
from collections.abc import Callable

import torch
from backpack import backpack, extend
from backpack.extensions import BatchGrad
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


def backpack_gradients(
    network: nn.Module, inputs: Tensor, value: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return per-sample gradients by BackPACK's BatchGrad (Dangel et al., ICLR 2020).

    Args:
        network: Maps [N, ...] to [N, ...]; made of modules BackPACK knows. A copy is extended,
            since BackPACK leaves hooks and tensors on modules and parameters.
        inputs: [N, ...].
        value: Maps the outputs to one number per sample, [N].

    Returns:
        [N, D_p] for each trainable parameter p in the network's order, flattened.
    """
    extended = extend(copy.deepcopy(network))
    with torch.enable_grad(), backpack(BatchGrad()), warnings.catch_warnings():
        # Its hooks sit on modules whose inputs need no gradient; that is as it should be.
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        value(extended(inputs)).sum().backward()
    trainable = [parameter for parameter in extended.parameters() if parameter.requires_grad]
    return [parameter.grad_batch.flatten(1) for parameter in trainable]

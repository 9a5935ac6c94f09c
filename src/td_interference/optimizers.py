"""The paper's four optimizers (appendix B.1), with torch's standard settings."""

from collections.abc import Iterable

import torch
from torch import nn

from td_interference.errors import UserError

OPTIMIZERS = ("adam", "rmsprop", "sgd", "momentum_sgd")


def make_optimizer(
    name: str,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
) -> torch.optim.Optimizer:
    """Return an optimizer over `parameters`.

    Adam and SGD run fused: one pass over the memory instead of several, which on a CPU takes a
    tenth of the time for the paper's 4.8 million parameters (benchmarks/training.py).

    Args:
        name: One of `OPTIMIZERS`.
        parameters: What to optimize.
        learning_rate: Step size α.
        weight_decay: L2 coefficient, added to the gradient.
        momentum: β of momentum SGD; the others ignore it.

    Raises:
        UserError: If the name is not known.
    """
    parameters = list(parameters)
    if name == "adam":
        return torch.optim.Adam(
            parameters, learning_rate, (0.9, 0.999), 1e-8, weight_decay, fused=True
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, learning_rate, 0.99, 1e-8, weight_decay)
    if name in ("sgd", "momentum_sgd"):
        return torch.optim.SGD(
            parameters,
            learning_rate,
            momentum=momentum if name == "momentum_sgd" else 0.0,
            weight_decay=weight_decay,
            fused=True,
        )
    raise UserError(f"config key 'optimizers': {name!r} is not one of {', '.join(OPTIMIZERS)}")

"""The paper's four optimizers (appendix B.1), with torch's standard settings."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from td_interference.errors import UserError

OPTIMIZERS = ("adam", "rmsprop", "sgd", "momentum_sgd")

# PyTorch's optimizers import its compiler, to be kept out of what that compiles, which costs a job
# as much as the rest of its start. Nothing here is compiled, so these methods stay as they are.
for _method in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
    _plain = inspect.unwrap(getattr(torch.optim.Optimizer, _method))
    vars(_plain).setdefault("__dynamo_disable", _plain)


def _uncompiled(optimizer: type[torch.optim.Optimizer]) -> type[Any]:
    """Return an optimizer that does the same without asking for the compiler at each step."""
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {"step": step})


_Adam, _RMSprop, _SGD = map(_uncompiled, (torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD))


def make_optimizer(
    name: str,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
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
        epsilon: Added to the root of the second moment, of Adam and RMSprop.

    Raises:
        UserError: If the name is not known.
    """
    parameters = list(parameters)
    if name == "adam":
        return _Adam(parameters, learning_rate, (0.9, 0.999), epsilon, weight_decay, fused=True)
    if name == "rmsprop":
        return _RMSprop(parameters, learning_rate, 0.99, epsilon, weight_decay)
    if name in ("sgd", "momentum_sgd"):
        return _SGD(
            parameters,
            learning_rate,
            momentum=momentum if name == "momentum_sgd" else 0.0,
            weight_decay=weight_decay,
            fused=True,
        )
    raise UserError(f"config key 'optimizers': {name!r} is not one of {', '.join(OPTIMIZERS)}")

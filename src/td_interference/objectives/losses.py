"""Pointwise losses of a TD error δ = target - prediction; no mean over the minibatch."""

from collections.abc import Callable

import torch
from torch import Tensor

from td_interference.errors import UserError


def squared(td_error: Tensor) -> Tensor:
    """δ², the loss of the paper's eq. 3 and 5; [N] to [N]."""
    return td_error.square()


def capped(td_error: Tensor) -> Tensor:
    """min(|δ|, δ²), the loss of the authors' code; [N] to [N].

    Neither torch's smooth L1 nor Huber's: there is no ½, so the slope falls from 2 to 1 at |δ| = 1.
    """
    return torch.minimum(td_error.abs(), td_error.square())


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"capped": capped, "squared": squared}


def pointwise_loss(name: str) -> Callable[[Tensor], Tensor]:
    """Return the loss called `name`.

    Raises:
        UserError: If there is none.
    """
    if name not in LOSSES:
        raise UserError(f"config key 'loss': {name!r} is not one of {', '.join(LOSSES)}")
    return LOSSES[name]

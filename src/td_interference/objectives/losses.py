"""Pointwise losses of a TD error δ = target - prediction; no mean over the minibatch."""

from collections.abc import Callable

import torch
from torch import Tensor


def squared(td_error: Tensor) -> Tensor:
    """δ², the loss of the paper's eq. 3 and 5; [N] to [N]."""
    return td_error.square()


def capped(td_error: Tensor) -> Tensor:
    """min(|δ|, δ²), the loss of the authors' code; [N] to [N].

    Neither torch's smooth L1 nor Huber's: there is no ½, so the slope falls from 2 to 1 at |δ| = 1.
    """
    return torch.minimum(td_error.abs(), td_error.square())


# By what the configuration calls them.
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"capped": capped, "squared": squared}

"""Distributions of returns over fixed atoms (C51), as pure functions of tensors.

b indexes samples, a actions, i and j atoms. Source: Bellemare, Dabney & Munos (2017).
"""

import torch
from torch import Tensor


def project(probability: Tensor, reward: Tensor, discount: Tensor, support: Tensor) -> Tensor:
    """Return the distribution of reward + discount * Z, moved onto the atoms.

    Each atom z_j moves to y_j, clamped to the support; its mass is shared between the two atoms
    around y_j, in proportion to closeness. The mean is kept where nothing is clamped.

    Args:
        probability: Of Z at the state bootstrapped from, [B, atoms].
        reward: Return of the n steps before it, [B].
        discount: gamma^n, or 0 where the episode terminated, [B].
        support: z, [atoms], evenly spaced.

    Returns:
        [B, atoms].

    Source:
        Algorithm 1, written as a sum over hat functions.
    """
    spacing = support[1] - support[0]
    moved = reward[:, None] + discount[:, None] * support  # y_bj
    moved = moved.clamp(support[0], support[-1])
    distance = (moved[:, None, :] - support[:, None]).abs() / spacing  # [B, i, j]
    return torch.einsum("bij,bj->bi", (1 - distance).clamp(min=0), probability)


def kl_divergence(target: Tensor, log_prediction: Tensor) -> Tensor:
    """Return KL(target || prediction), the loss of C51 and the priority of Rainbow.

    Args:
        target: Probabilities, [B, atoms].
        log_prediction: Logarithms of probabilities, [B, atoms].

    Returns:
        [B], in nats.
    """
    return (torch.xlogy(target, target) - target * log_prediction).sum(-1)

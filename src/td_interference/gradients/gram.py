"""Gram matrices and cosines of per-sample gradients, never writing out those of Linear layers.

The interference of samples u and v is the inner product of their gradients over all parameters:
function interference of f(u) and f(v) (paper, section 2.1, eq. 8), loss interference of J(u) and
J(v) (eq. 7); stiffness is their cosine. There is no 1/N anywhere.
"""

import torch
from torch import Tensor

from td_interference.device import full_precision
from td_interference.errors import UserError
from td_interference.gradients.per_sample import PerSampleGradients


def gram(a: PerSampleGradients, b: PerSampleGradients | None = None) -> Tensor:
    """Return the inner products of the gradients of two batches, [N_a, N_b].

    Args:
        a: Gradients of N_a samples.
        b: Gradients of N_b samples with respect to the same parameters; `a` if left out.

    Raises:
        UserError: If the two come from different networks.
    """
    a, b = checked(a), checked(a if b is None else b)
    return _unscaled_gram(a, b) * a.scale[:, None] * b.scale


def squared_norms(a: PerSampleGradients) -> Tensor:
    """Return the squared length of each gradient, [N]: the diagonal of `gram(a)`."""
    a = checked(a)
    return unscaled_squared_norms(a) * a.scale.square()


def cosines(a: PerSampleGradients, b: PerSampleGradients | None = None) -> Tensor:
    """Return the stiffness of all pairs, [N_a, N_b]: cosines of the angles between gradients.

    In [-1, 1]; NaN where one of the two gradients is zero and the angle undefined.

    Args:
        a: Gradients of N_a samples.
        b: Gradients of N_b samples with respect to the same parameters; `a` if left out.

    Raises:
        UserError: If the two come from different networks.
    """
    a, b = checked(a), checked(a if b is None else b)
    norm_a, norm_b = (unscaled_squared_norms(x).sqrt() for x in (a, b))
    # Two divisions, since the product of two small norms may vanish; 0 / 0 gives the NaN.
    return (_unscaled_gram(a, b) / norm_a[:, None] / norm_b).clamp(-1, 1)


def checked(gradients: PerSampleGradients) -> PerSampleGradients:
    """Return the gradients themselves.

    Raises:
        UserError: If they are something else.
    """
    if not isinstance(gradients, PerSampleGradients):
        raise UserError(
            "these are no gradients but a "
            f"{type(gradients).__name__}: give what per_sample_gradients returned"
        )
    return gradients


def _unscaled_gram(a: PerSampleGradients, b: PerSampleGradients) -> Tensor:
    if a.layers.keys() != b.layers.keys():
        raise UserError(
            "the two sets of gradients are of different networks: "
            f"{', '.join(sorted(a.layers.keys() ^ b.layers.keys()))} is in one of them only"
        )
    for name, x in a.layers.items():
        if x.n_parameters != b.layers[name].n_parameters:
            raise UserError(
                f"the two sets of gradients are of different networks: {name!r} has "
                f"{x.n_parameters} parameters in one and {b.layers[name].n_parameters} in the other"
            )
    total = torch.zeros((), dtype=a.scale.dtype, device=a.scale.device)
    with full_precision(total.device):  # as the gradients were taken
        for name, x in a.layers.items():
            total = total + x.gram(b.layers[name])
    return total


def unscaled_squared_norms(a: PerSampleGradients) -> Tensor:
    """Return the squared length of each gradient without its scale, [N]."""
    with full_precision(a.scale.device):  # as the gradients were taken
        return torch.stack([layer.squared_norms() for layer in a.layers.values()]).sum(0)

"""Means over all pairs of samples from sums of gradients: N · D operations instead of N² · D.

The mean of ∇(u)·∇(v) over all u and v is the squared length of the mean gradient; without the pairs
u = v it is (|Σ_u ∇(u)|² - Σ_u |∇(u)|²) / (N (N - 1)). The mean cosine is the same for gradients of
length one. For convolutions, whose gradients are written out, this takes a tenth of the time of
`gram` or less; use that where single pairs matter.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from td_interference.errors import UserError
from td_interference.gradients.gram import unscaled_squared_norms
from td_interference.gradients.per_sample import PerSampleGradients


class GradientSums(NamedTuple):
    """Sums over a batch; NaN or inf if one of its gradients is not finite."""

    total: Tensor  # Σ ∇(u), [D]: all parameters, layer by layer
    units: Tensor  # Σ ∇(u) / |∇(u)|, [D], of the gradients that are not zero
    squared_norms: float  # Σ |∇(u)|²
    n_samples: int
    n_units: int  # gradients that are not zero


class PairMeans(NamedTuple):
    """Means over pairs of samples."""

    inner_product: float  # NaN if there is no pair
    cosine: float  # of the pairs in which neither gradient is zero; NaN if there is none


def gradient_sums(gradients: PerSampleGradients, rows: slice = slice(None)) -> GradientSums:
    """Return the sums over some samples.

    Args:
        gradients: Of N samples.
        rows: Which of them; all, if left out.
    """
    scale = gradients.scale[rows]
    squared_norms = unscaled_squared_norms(gradients)[rows]
    has_angle = squared_norms != 0
    inverse = torch.where(has_angle, squared_norms.rsqrt(), 0)
    weights = torch.stack([scale, inverse])
    with torch.autocast(scale.device.type, enabled=False):  # as the gradients were taken
        sums = [layer.weighted_sums(weights, rows) for layer in gradients.layers.values()]
    total, units = torch.cat(sums, 1)
    return GradientSums(
        total,
        units,
        (squared_norms.double() * scale.double().square()).sum().item(),
        len(scale),
        int(has_angle.sum()),
    )


def means_within(sums: GradientSums) -> PairMeans:
    """Return the means over the pairs u != v of one batch."""
    n, n_units = sums.n_samples, sums.n_units
    return PairMeans(
        _mean(_dot(sums.total, sums.total) - sums.squared_norms, n * (n - 1)),
        _mean(_dot(sums.units, sums.units) - n_units, n_units * (n_units - 1)),
    )


def means_between(a: GradientSums, b: GradientSums) -> PairMeans:
    """Return the means over the pairs of one sample of each of two batches.

    Raises:
        UserError: If the two come from different networks.
    """
    if a.total.shape != b.total.shape:
        raise UserError(
            f"the two sets of gradients are of different networks: {len(a.total)} and "
            f"{len(b.total)} parameters"
        )
    return PairMeans(
        _mean(_dot(a.total, b.total), a.n_samples * b.n_samples),
        _mean(_dot(a.units, b.units), a.n_units * b.n_units),
    )


def _dot(a: Tensor, b: Tensor) -> float:
    return (a.double() @ b.double()).item()


def _mean(total: float, n_pairs: int) -> float:
    return total / n_pairs if n_pairs else float("nan")

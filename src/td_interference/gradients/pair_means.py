"""Means over all pairs of samples from sums of gradients: N · D operations instead of N² · D.

The mean of ∇(u)·∇(v) over all u and v is the squared length of the mean gradient; without the pairs
u = v it is (|Σ_u ∇(u)|² - Σ_u |∇(u)|²) / (N (N - 1)). The mean cosine is the same for gradients of
length one. For convolutions, whose gradients are written out, this takes a tenth of the time of
`gram` or less; use that where single pairs matter.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from td_interference.device import full_precision
from td_interference.errors import UserError
from td_interference.gradients.gram import checked, unscaled_squared_norms
from td_interference.gradients.per_sample import PerSampleGradients


class GradientSums(NamedTuple):
    """Sums over the samples of each of R networks; NaN or inf where a gradient is not finite."""

    total: Tensor  # Σ ∇(u), [R, D]: all parameters, layer by layer
    units: Tensor  # Σ ∇(u) / |∇(u)|, [R, D], of the gradients that are not zero
    squared_norms: Tensor  # Σ |∇(u)|², [R], float64
    n_samples: Tensor  # [R]
    n_units: Tensor  # gradients that are not zero, [R]


class PairMeans(NamedTuple):
    """Means over pairs of samples, of each of R networks."""

    inner_product: Tensor  # [R], float64; NaN where there is no pair
    cosine: Tensor  # [R], float64, of the pairs in which neither is zero; NaN where there is none


def gradient_sums(
    gradients: PerSampleGradients, rows: slice = slice(None), chosen: Tensor | None = None
) -> GradientSums:
    """Return the sums over some samples.

    Args:
        gradients: Of N samples for each of R networks of one shape: its tensors are [R, N, ...],
            or [N, ...] for one network, whose sums lack the dimension R.
        rows: Which of the samples; all, if left out.
        chosen: Which of those, [R, N'] bool; all, if left out. The others must be finite.
    """
    scale = checked(gradients).scale[..., rows]
    chosen = torch.ones_like(scale, dtype=torch.bool) if chosen is None else chosen
    squared_norms = unscaled_squared_norms(gradients)[..., rows]
    has_angle = chosen & (squared_norms != 0)
    scale = torch.where(chosen, scale, 0)
    weights = torch.stack([scale, torch.where(has_angle, squared_norms.rsqrt(), 0)], -2)
    with full_precision(scale.device):  # as the gradients were taken
        sums = [layer.weighted_sums(weights, rows) for layer in gradients.layers.values()]
    total, units = torch.cat(sums, -1).unbind(-2)
    return GradientSums(
        total,
        units,
        (squared_norms.double() * scale.double().square()).sum(-1),
        chosen.sum(-1),
        has_angle.sum(-1),
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
            "the two sets of gradients are of different networks: "
            f"{list(a.total.shape)} and {list(b.total.shape)} parameters"
        )
    return PairMeans(
        _mean(_dot(a.total, b.total), a.n_samples * b.n_samples),
        _mean(_dot(a.units, b.units), a.n_units * b.n_units),
    )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum(-1)


def _mean(total: Tensor, n_pairs: Tensor) -> Tensor:
    return torch.where(n_pairs > 0, total / n_pairs, torch.nan)

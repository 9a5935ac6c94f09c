"""Per-sample gradients and their inner products: the one door to gradients of single samples."""

from td_interference.gradients.gram import cosines, gram, squared_norms
from td_interference.gradients.pair_means import (
    GradientSums,
    PairMeans,
    gradient_sums,
    means_between,
    means_within,
)
from td_interference.gradients.per_sample import PerSampleGradients, per_sample_gradients

__all__ = [
    "GradientSums",
    "PairMeans",
    "PerSampleGradients",
    "cosines",
    "gradient_sums",
    "gram",
    "means_between",
    "means_within",
    "per_sample_gradients",
    "squared_norms",
]

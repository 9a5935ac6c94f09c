"""Per-sample gradients and their inner products: the one door to gradients of single samples."""

from td_interference.gradients.gram import band, cosines, gram, squared_norms
from td_interference.gradients.per_sample import PerSampleGradients, per_sample_gradients

__all__ = [
    "PerSampleGradients",
    "band",
    "cosines",
    "gram",
    "per_sample_gradients",
    "squared_norms",
]

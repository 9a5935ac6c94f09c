"""Singular values of the last hidden layer's weight matrix (paper, figures 12 and 13)."""

import numpy as np
import torch

from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.networks.atari import last_hidden_layer
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Singular values of the last hidden layer's weights, descending",
    "source": "paper, figures 12, 13",
    "about": "of the last hidden layer",
    "formula": "σ_i(W), W the last hidden layer's weights (section 5, appendix D.1)",
    "version": 3,
    "checkpoints": "all",
    "fields": {
        "index": {
            "dtype": "int64",
            "dimensions": ["index"],
            "unit": "1",
            "description": "1 for the largest",
        },
        "singular_value": {
            "dtype": "float32",
            "dimensions": ["index"],
            "unit": "1",
            "description": "descending",
        },
    },
    "settings": {},
}


@torch.no_grad()
def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return the singular values of the matrix (512 x 9216 in the paper), descending.

    Args:
        subject: The checkpoint.
        settings: None are needed.

    Returns:
        "index" and "singular_value" [smaller side of the matrix].
    """
    weight = last_hidden_layer(subject.objective.network).weight
    singular_value = torch.linalg.svdvals(weight).cpu().numpy()
    return {"index": np.arange(1, len(singular_value) + 1), "singular_value": singular_value}
